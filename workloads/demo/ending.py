"""Owns what the demo ends with: the verdict, the tables, and how to go on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from workloads.client.accounts import PASSWORD
from workloads.demo.report import counted

GO_ON = """
How to go on. The shop is stopped and still there:

  {holdfast} up --data {data}                 keeps it running at http://127.0.0.1:8000 until Ctrl-C

  http://127.0.0.1:8000/        the shop          http://127.0.0.1:8000/docs   the API
  http://127.0.0.1:8000/ops     operations, live, for staff

In another terminal, who can log in:

  {holdfast} admin create you@example.com --data {data}
  {holdfast} seed --users 2 --data {data}     shopper1@shoppers.example, password {password}
"""


def documented_versus_measured(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a documented figure: what it says, and what this run measured for the same thing. What an index gains
    grows with the data, so on less than the documented size "below" would say nothing about it: `kept` is None then."""
    scale = results["lookups"]["scale"]
    rows = [
        {
            "what": row["operation"].replace("_", " "),
            "documented": f"{row['documentedBeforeMs']} → {row['documentedAfterMs']} ms, {row['documentedRatio']}×",
            "measured": f"{row['beforeMs']:.3g} → {row['afterMs']:.3g} ms, {row['ratio']:,.0f}×",
            "kept": row["ratio"] >= row["documentedRatio"] or (None if scale < 1 else False),
            "of": f"at {scale:.0%} of the data",
        }
        for row in results["lookups"]["rows"]
    ]
    return rows + [
        {
            "what": f"gzip, {row['content']}",
            "documented": f"{row['documentedReduction']:.0f} % smaller",
            "measured": f"{row['reduction']:.0f} % smaller ({row['bytes']:,} → {row['gzipBytes']:,} bytes)",
            "kept": row["reduction"] >= row["documentedReduction"],
            "of": "",
        }
        for row in results["compression"]["rows"]
    ]


def is_ok(results: Mapping[str, Any]) -> bool:
    """Whether the books balance; not whether this machine is fast."""
    oversold = {row["name"]: row["oversold"] for row in results["contention"]["strategies"]}
    matched = results["replay"].get("matching", {}).get("ok", False)
    return bool(results["audit"]["ok"] and matched and not oversold["group_commit"] and results["flashSale"]["auditOk"])


def show(results: Mapping[str, Any]) -> None:
    table = Table("", "documented", "measured here", "", title="Documented and measured")
    for row in results["documentedVersusMeasured"]:
        verdict = {True: "[green]kept[/]", False: "[red]below[/]", None: row["of"]}[row["kept"]]
        table.add_row(row["what"], row["documented"], row["measured"], verdict)
    strategies = Table("reserving one hot SKU, 64 buyers", "checkouts/s", "p99 ms", "oversold", "client retries")
    for row in results["contention"]["strategies"]:
        strategies.add_row(
            row["name"].replace("_", " "),
            f"{row['checkoutsPerSecond']:,.0f}",
            f"{row['p99Ms']:,.1f}",
            str(row["oversold"]),
            f"{row['clientRetries']:,}",
        )
    sale, replay = results["flashSale"], results["replay"]
    click.echo(f"flash sale: {counted(sale['outcomes'])}; books {'balance' if sale['auditOk'] else 'DO NOT balance'}")
    click.echo(
        f"replay: {replay['invoices']['total']} invoices, {replay['matching']['matched']} sales matched one to one"
    )
    Console().print(strategies, table)


def how_to_go_on(data: Path) -> str:
    return GO_ON.format(holdfast=".venv/bin/holdfast", data=data, password=PASSWORD)
