"""Measures, and writes what was measured into README.md and docs/measurements/README.md.

    python scripts/measurements.py --measure contention checkout   # runs these (all without a name), then writes
    python scripts/measurements.py                                 # only writes, from docs/measurements/results/

A result file holds one command's newest document, with when, where and at which commit it was measured. `--check` ends
with 1 if a page does not say what the files say."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workloads.client.command_line import ask
from workloads.results.provenance import commit, machine

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE, README = REPOSITORY / "docs/measurements/README.md", REPOSITORY / "README.md"
RESULTS = REPOSITORY / "docs/measurements/results"
BEGIN, END = "<!-- figures: written by scripts/measurements.py -->", "<!-- /figures -->"
COMMANDS = {
    "contention": ["bench", "contention"],
    "checkout": ["bench", "checkout"],
    "expiry": ["bench", "expiry"],
    "growth": ["bench", "growth"],
    "lookups": ["bench", "lookups"],
    "relevance": ["bench", "relevance"],
    "compression": ["bench", "compression"],
    "layers": ["bench", "layers"],
    "flood": ["bench", "flood"],
    "simulation": ["simulate", "flash-sale", "--faults", "--seeds", "200"],
}
NOT_MEASURED = """## What is not measured

MongoDB and Redis run on the same machine as the API and the load generator. Absolute rates are this machine's; the
tables compare inside one run. Nothing was run on a cluster, on Arm, or through the compose file. Fail-over times on a
quiet machine are still to be measured, and so is everything listed above as not measured on the packaged data.

Longer tables, of more runs and how they came about: [performance](performance.md), [scale](../internals/scale.md),
[simulation](../workbench/simulation.md).
"""
Document = Mapping[str, Any]


def measured(names: list[str]) -> None:
    """Runs the commands and keeps their documents. A run that is invalid or fails its checks is not kept."""
    RESULTS.mkdir(exist_ok=True)
    for name in names or COMMANDS:
        document = ask(*COMMANDS[name])
        if document.pop("exitCode"):
            sys.stderr.write(f"{name}: not kept, the command did not end with 0\n")
            continue
        about: dict[str, Any] = {
            "command": "holdfast " + " ".join(COMMANDS[name]),
            "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        }
        about |= {"commit": commit()["id"], "machine": machine()}
        (RESULTS / f"{name}.json").write_text(json.dumps({**about, "document": document}, indent=1) + "\n")


def kept() -> dict[str, dict[str, Any]]:
    return {name: json.loads(path.read_text()) for name in COMMANDS if (path := RESULTS / f"{name}.json").exists()}


def contention(found: Document) -> Iterator[str]:
    yield from _table("one hot SKU, 64 buyers", ["checkouts/s", "p99 ms", "oversold", "client retries"])
    for row in found["strategies"]:
        figures = [f"{row['checkoutsPerSecond']:,.0f}", f"{row['p99Ms']:,.0f}"]
        yield _row(row["name"].replace("_", " "), *figures, f"{row['oversold']:,}", f"{row['clientRetries']:,}")


def checkout(found: Document) -> Iterator[str]:
    yield from _table("over HTTP, every check on", ["checkouts/s", "p99 ms"])
    for kind in ("hot", "spread"):
        yield _row(kind, f"{found[kind]['checkoutsPerSecond']:,.0f}", found[kind].get("p99Ms", "not kept"))
    yield ""
    yield from figures(found)


def lookups(found: Document) -> Iterator[str]:
    yield from _table("documented operation", ["documented", "p50 before → after ms", "times", "p95 after ms"])
    for row in found["rows"]:
        taken = f"{row['beforeMs']:,.3g} → {row['afterMs']:,.3g}"
        yield _row(row["operation"], f"{row['documentedRatio']:g}×", taken, f"{row['ratio']:,.0f}×", row["p95AfterMs"])


def compression(found: Document) -> Iterator[str]:
    yield from _table("content", ["bytes", "gzip", "smaller", "documented"])
    for row in found["rows"]:
        sizes = [f"{row['bytes']:,}", f"{row['gzipBytes']:,}", f"{row['reduction']:.0f} %"]
        yield _row(row["content"], *sizes, f"{row['documentedReduction']:g} %")


def figures(found: Document) -> Iterator[str]:
    """Whatever a document has at its top that is one figure."""
    yield from _table("figure", ["measured"])
    for name, value in found.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield _row(name, f"{value:,}")


TABLES: Mapping[str, Callable[[Document], Iterator[str]]] = {
    "contention": contention,
    "checkout": checkout,
    "lookups": lookups,
    "compression": compression,
}


def page(results: Mapping[str, Document]) -> str:
    lines = [
        "# Measurements",
        "",
        "Written by `python scripts/measurements.py` from `results/`, the newest run of each.",
    ]
    lines += ["The catalogue's names are those of the packaged year, whose data are simulated from real shopping.", ""]
    for name, arguments in COMMANDS.items():
        lines += [f"## `holdfast {' '.join(arguments)}`", ""]
        if name not in results:
            lines += ["Not measured on the packaged data yet.", ""]
            continue
        lines += [*TABLES.get(name, figures)(results[name]["document"]), "", _where(results[name]), ""]
    return "\n".join(lines) + NOT_MEASURED


def readme_table(results: Mapping[str, Document]) -> str:
    """The four rows of the README; one that was not measured says so."""
    lines = ["| what | measured | command |", "|---|---|---|"]
    for what, name, said in FOUR_ROWS:
        measured_ = said(results[name]["document"]) if name in results else "not measured on the packaged data yet"
        lines.append(f"| {what} | {measured_} | `holdfast {' '.join(COMMANDS[name])}` |")
    where = ", ".join(f"{name} {results[name]['at'][:10]} at {results[name]['commit'][:7]}" for name in _named(results))
    return "\n".join([*lines, "", f"Two shared cores, everything on one machine: {where}."])


def _named(results: Mapping[str, Document]) -> list[str]:
    return [name for _, name, _ in FOUR_ROWS if name in results]


def _contention_row(found: Document) -> str:
    group = next(row for row in found["strategies"] if row["name"] == "group_commit")
    times = found["groupCommitOverTransaction"]
    return (
        f"{group['checkoutsPerSecond']:,.0f}/s, {group['oversold']} oversold, {times:,.0f} × a transaction per request"
    )


def _lookups_row(found: Document) -> str:
    return ", ".join(f"{row['operation']} {row['ratio']:,.0f}×" for row in found["rows"])


def _checkout_row(found: Document) -> str:
    hot, oversold, alone = found["hot"]["checkoutsPerSecond"], found["oversold"], found["idleP50Ms"]
    return f"{hot:,.0f}/s, {oversold} oversold; one alone {alone:.1f} ms"


def _expiry_row(found: Document) -> str:
    return f"free again in {found['drainSeconds']:.1f} s; checkouts keep {found['ratio']:.0%} of their rate"


FOUR_ROWS = (
    ("64 buyers want one product, no HTTP", "contention", _contention_row),
    ("the same over HTTP, every check on", "checkout", _checkout_row),
    ("50,000 holds that expire at once", "expiry", _expiry_row),
    ("look-ups, with and without their index", "lookups", _lookups_row),
)


def _table(first: str, columns: list[str]) -> Iterator[str]:
    yield _row(first, *columns)
    yield "|---" * (len(columns) + 1) + "|"


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _where(result: Document) -> str:
    note = f" {result['note']}" if "note" in result else ""
    return f"Measured {result['at']} at {(result['commit'] or 'an unknown commit')[:7]}.{note}"


def written(results: Mapping[str, Document]) -> dict[Path, str]:
    """What both pages have to say."""
    readme = README.read_text()
    head, _, rest = readme.partition(BEGIN)
    return {
        PAGE: page(results),
        README: f"{head}{BEGIN}\n{readme_table(results)}\n{END}{rest.partition(END)[2]}",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs="*", metavar="NAME", choices=[*COMMANDS], default=None)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.measure is not None:
        measured(options.measure)
    pages = written(kept())
    if options.check:
        return int(any(path.read_text() != text for path, text in pages.items()))
    for path, text in pages.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
