"""The baskets the demo sells. On machines without a real trace they are made up: quantities and popularity drawn from
the committed demand profile, so that they are skewed like a real shop's."""

import csv
import random
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from workloads.model.demand import load_profile

if TYPE_CHECKING:
    from workloads.traces.options import ReadOptions

HEADER = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID")
MATERIALS = ("PAPER", "TIN", "CERAMIC", "COTTON", "GLASS", "WICKER", "ENAMEL", "WOODEN")
THINGS = (
    "LANTERN",
    "MUG",
    "GARLAND",
    "BOWL",
    "SIGN",
    "BAG",
    "CANDLE HOLDER",
    "JUG",
    "STAR",
    "NOTEBOOK",
    "TRAY",
    "CLOCK",
)
COLOURS = ("RED", "BLUE", "CREAM", "GREEN", "PINK", "WHITE")
CUSTOMERS, RETURN_SHARE = 80, 0.05
BEGINS = datetime(2017, 3, 1, 8, 26)
STANDARD = "baskets.parquet"


def write_baskets(folder: Path, trace: str, options: "ReadOptions", baskets: int) -> None:
    """The first `baskets` of the trace, in the standard form, as `STANDARD` in the folder. Raises TraceError."""
    from workloads.traces.retail import read_with
    from workloads.traces.standard_form import write_standard

    write_standard(read_with([trace], replace(options, limit=baskets)), folder / STANDARD)


def made_up(path: Path, invoices: int, seed: int = 1) -> Path:
    """Writes `invoices` invoices as CSV, and some returns of them."""
    chance, profile = random.Random(seed), load_profile()
    names = [f"{colour} {material} {thing}" for thing in THINGS for material in MATERIALS for colour in COLOURS]
    weights = [1 / rank**profile.zipf_exponent for rank in range(1, len(names) + 1)]
    at = BEGINS
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(HEADER)
        for number in range(invoices):
            at += timedelta(minutes=chance.expovariate(1 / 5))
            customer = 12_000 + chance.randrange(CUSTOMERS)
            chosen = chance.choices(range(len(names)), weights, k=profile.basket_lines(chance.random()))
            for item in chosen:
                rows.writerow(_row(500_000 + number, item, names, profile.line_quantity(chance.random()), at, customer))
            if chance.random() < RETURN_SHARE:
                rows.writerow(_row(f"C{500_000 + number}", chosen[0], names, -1, at + timedelta(days=1), customer))
    return path


def _row(
    invoice: int | str, item: int, names: list[str], quantity: int, at: datetime, customer: int
) -> tuple[object, ...]:
    price = f"{0.55 + (item * 37 % 900) / 100:.2f}"
    return invoice, 10_000 + item, names[item], quantity, f"{at.month}/{at.day}/{at.year} {at:%H:%M}", price, customer
