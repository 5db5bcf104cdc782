"""Owns what the demo does, step by step, and what a newcomer is told of each: what happens now, why, and how long it
takes on two quiet cores. Every step is a `holdfast` command that a person could type."""

import csv
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workloads.client.command_line import CommandFailed, ask
from workloads.demo.stack import StepFailed
from workloads.progress import say, spinner

Results = dict[str, Any]
STOCK_OF_A_SKU = 20_000
FLASH_SALE_SKU, FLASH_SALE_STOCK, FLASH_SALE_SHOPPERS = "FLASH-SALE", 40, 64
REPLAY_SECONDS = 20
# The share of the documented 100,000 products and 1,000,000 orders that look-ups are measured with here.
LOOKUPS_SCALE = 0.05


@dataclass(frozen=True, slots=True)
class Step:
    """`about` is said before, `told` after; `key` is its place in results.json."""

    key: str
    title: str
    about: str
    seconds: int
    arguments: tuple[str, ...]
    told: Callable[[Results], str]


def in_the_shop(folder: Path, trace: Sequence[str], baskets: int) -> list[Step]:
    runs = ("--runs", str(folder / "runs"))
    return [
        Step(
            "seeded",
            "Open a shop",
            f"{baskets:,} baskets of the trace say what it sells; every product gets {STOCK_OF_A_SKU:,} units.",
            12,
            ("seed", "--trace", *trace, "--stock", str(STOCK_OF_A_SKU)),
            lambda done: f"{done['products']:,} products",
        ),
        Step(
            "hotSku",
            "One product that everybody wants",
            "It goes on sale without stock: the sale brings it.",
            4,
            ("seed", "--trace", str(hot_product(folder)), "--stock", "0"),
            lambda done: FLASH_SALE_SKU,
        ),
        Step(
            "flashSale",
            "A flash sale",
            f"{FLASH_SALE_SHOPPERS} shoppers at once want {FLASH_SALE_STOCK} units; some give theirs back.",
            22,
            (
                *("load", "flash-sale", "--users", str(FLASH_SALE_SHOPPERS), "--run-time", "12"),
                *("--hot-sku", FLASH_SALE_SKU, "--stock", str(FLASH_SALE_STOCK), "--name", "flash-sale", *runs),
            ),
            sale_told,
        ),
        Step(
            "replay",
            "An ordinary day",
            f"The {baskets:,} baskets are bought again, each answer timed from when it was meant to be asked.",
            REPLAY_SECONDS + 10,
            ("replay", *trace, "--rate", str(max(5, baskets // REPLAY_SECONDS)), "--name", "replay", *runs),
            lambda done: f"{done['matching']['matched']:,} sales, each matched with one order",
        ),
        Step(
            "audit",
            "The books",
            "Every movement since the first is added up and compared with what the shop says is there.",
            3,
            ("audit",),
            lambda done: "every unit is accounted for" if done["ok"] else "THE BOOKS DO NOT BALANCE",
        ),
    ]


def measuring() -> list[Step]:
    return [
        Step(
            "contention",
            "Why it is built that way",
            "Five ways to reserve one hot product, in turns on one MongoDB; the first one oversells.",
            20,
            ("bench", "contention", "--rounds", "1", "--scarce", "8"),
            lambda done: f"{done['groupCommitOverTransaction']:,.0f} times a transaction per request",
        ),
        Step(
            "lookups",
            "What the indexes do",
            f"The four documented look-ups with and without theirs, on {LOOKUPS_SCALE:.0%} of the documented data.",
            20,
            ("bench", "lookups", "--scale", str(LOOKUPS_SCALE), "--samples", "80", "--clients", "4"),
            lambda done: ", ".join(f"{row['operation']} {row['ratio']:,.0f}×" for row in done["rows"]),
        ),
        Step(
            "compression",
            "What compression does",
            "The documented answers of a live service, counted on the wire.",
            15,
            ("bench", "compression", "--quick"),
            lambda done: ", ".join(f"{row['content']} {row['reduction']:.0f} % smaller" for row in done["rows"]),
        ),
    ]


def sale_told(done: Results) -> str:
    routes = done["routes"]
    of = {name: routes.get(name, {}).get("outcomes", {}) for name in ("checkout", "pay")}
    books = "nothing oversold" if done["auditOk"] else "THE BOOKS DO NOT BALANCE"
    held, refused, paid = of["checkout"].get("ok", 0), of["checkout"].get("out_of_stock", 0), of["pay"].get("paid", 0)
    return f'{held} got one, {paid} paid, {refused} times "out of stock", {books}'


def run(step: Step, number: int, of: int, environment: Mapping[str, str] | None = None) -> Results:
    """Tells what happens, does it, tells what came of it. Raises StepFailed with what the command said."""
    say(f"[bold]{number}/{of} {step.title}[/] (about {step.seconds} s)\n   {step.about}")
    started = time.monotonic()
    try:
        with spinner(f"holdfast {' '.join(step.arguments[:2])}"):
            document = ask(*step.arguments, environment=environment)
    except CommandFailed as failure:
        raise StepFailed(str(failure), failure.exit_code) from None
    colour = "red" if document["exitCode"] else "green"
    say(f"   [{colour}]{step.told(document)}[/] · {time.monotonic() - started:.0f} s")
    return document


def hot_product(folder: Path) -> Path:
    """A trace of one line item, whose product the flash sale is after."""
    path = folder / "flash-sale.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"),
                (1, FLASH_SALE_SKU, "ESPRESSO MACHINE, TODAY ONLY", 1, "2017-11-24 09:00", "49.00", "guest"),
            ]
        )
    return path
