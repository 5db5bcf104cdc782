"""Owns the report of one run: a single HTML file with everything in it, readable on a phone and without a network. What
the run says of documented figures comes first, then the verdict of the books, then latency."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from workloads.results import plots
from workloads.results.reader import Run

TEMPLATE = Path(__file__).with_name("report_template.html")
DOCUMENTED_KEYS = ("documented", "documentedVersusMeasured")
NOTHING = "–"
LATE_CAPTION = "From the intended start to being sent; in a replay, also waiting for one's own earlier order"
# Above this the plots are drawn from every n-th request; the tables always count all of them.
PLOTTED_ROWS_MAX = 2_000_000


def write_report(run: Run, path: Path | None = None) -> Path:
    """Writes `report.html` into the run's folder, or to `path`. Returns where."""
    target = path or run.path / "report.html"
    target.write_text(render(run))
    return target


def render(run: Run) -> str:
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(TEMPLATE.read_text()).render(
        title=run.name,
        verdict=run.manifest.get("verdict", "unknown"),
        reasons=run.manifest.get("reasons", []),
        manifest={"scenario": "", "driver": "", "startedAt": ""} | run.manifest,
        documented=_documented(run.summary),
        cards=list(_cards(run)),
        tables=list(_tables(run)),
        plots=list(_plots(run.requests)),
        provenance=_provenance(run.manifest),
        attribution=run.summary.get("attribution", ""),
    )


def _documented(summary: dict[str, Any]) -> dict[str, Any] | None:
    """A list of objects under one of the known keys, with whatever columns it has."""
    rows = next((summary[key] for key in DOCUMENTED_KEYS if summary.get(key)), None)
    if not rows:
        return None
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return {"columns": columns, "rows": [[_shown(row.get(name)) for name in columns] for row in rows]}


def _cards(run: Run) -> Iterator[dict[str, str]]:
    summary, paid = run.summary, run.summary.get("outcomes", {}).get("paid", 0)
    yield _card("requests", f"{summary.get('requests', len(run.requests)):,}")
    yield _card("per second", _shown(summary.get("requestsPerSecond")))
    yield _card("p50", _milliseconds(summary.get("p50Ms")))
    yield _card("p99", _milliseconds(summary.get("p99Ms")))
    yield _card("paid", f"{paid:,}")
    yield _card("failures", f"{summary.get('failures', 0):,}")
    yield _card("dropped", f"{summary.get('dropped', 0):,}")
    yield _card("books", {True: "balance", False: "do not balance", None: "not audited"}[run.stock.get("ok")])


def _card(label: str, value: str) -> dict[str, str]:
    return {"label": label, "value": value}


def _tables(run: Run) -> Iterator[dict[str, Any]]:
    yield _routes_table(run.summary)
    if run.summary.get("matching"):
        yield _matching_table(run.summary["matching"])
    if run.stock.get("checks"):
        rows = [
            [_words(check["name"]), "ok" if check["ok"] else "violated", check["violations"]]
            for check in run.stock["checks"]
        ]
        yield {"title": "The books", "note": "", "columns": ["check", "", "violations"], "rows": rows}
    yield _server_table(run.server)
    client = run.summary.get("client")
    if client:
        late = client["latenessMs"]
        rows = [[f"{late[name]:.2f}" for name in ("p50", "p95", "p99", "p100")] + [f"{client['cpuShare'] * 100:.0f} %"]]
        note = "How late the generator itself started arrivals, in milliseconds."
        yield {"title": "The client", "note": note, "columns": ["p50", "p95", "p99", "worst", "CPU"], "rows": rows}


def _routes_table(summary: dict[str, Any]) -> dict[str, Any]:
    columns = ["route", "requests", "per second", "p50 ms", "p95 ms", "p99 ms", "max ms", "outcomes"]
    rows = [
        [
            name,
            f"{route['requests']:,}",
            _shown(route["requestsPerSecond"]),
            *(_shown(route[level]) for level in ("p50Ms", "p95Ms", "p99Ms", "maxMs")),
            _counted(route["outcomes"]),
        ]
        for name, route in summary.get("routes", {}).items()
    ]
    note = "Exact percentiles, timed from the intended start. A refusal that was expected is an outcome, not a failure."
    return {"title": "Routes", "note": note, "columns": columns, "rows": rows}


def _matching_table(matching: dict[str, Any]) -> dict[str, Any]:
    rows = [["matched with an order", f"{matching['matched']:,}"]]
    rows += [[f"refused: {_words(reason)}", f"{count:,}"] for reason, count in matching["refused"].items()]
    rows += [[f"return, {_words(kind)}", f"{count:,}"] for kind, count in matching["returns"].items()]
    rows += [["wrong", f"{matching['wrong']:,}"], ["orders without an invoice", f"{matching['orphanOrders']:,}"]]
    note = f"{matching['sales']:,} sales, each with one order or a reason why there is none."
    return {"title": "Invoices and orders", "note": note, "columns": ["invoices", ""], "rows": rows}


def _server_table(server: dict[str, Any]) -> dict[str, Any]:
    change = server.get("change", {}).get("mongodb", {})
    counted = {name: value for name, value in change.items() if isinstance(value, int | float)}
    rows = [
        ["write conflicts", _shown(server.get("writeConflicts"))],
        ["client retries", _shown(server.get("clientRetries"))],
    ]
    rows += [
        [name, _shown(value)] for name, value in counted.items() if name not in ("writeConflicts", "uptimeSeconds")
    ]
    note = "What changed during the run. Aborted transactions are not write conflicts: read both lines."
    return {"title": "MongoDB", "note": note, "columns": ["counter", "change"], "rows": rows}


def _plots(requests: pd.DataFrame) -> Iterator[dict[str, str]]:
    if requests["done"].notna().sum() < 2:
        return
    sample = requests.iloc[:: len(requests) // PLOTTED_ROWS_MAX + 1]
    yield {"svg": plots.latency_over_time(sample), "caption": "Latency over the run, from the intended start"}
    yield {"svg": plots.latency_distribution(sample), "caption": "Latency by percentile; each further nine is one step"}
    yield {"svg": plots.throughput_over_time(requests), "caption": "Requests by outcome, and the intended rate"}
    yield {"svg": plots.lateness_over_time(sample), "caption": LATE_CAPTION}


def _provenance(manifest: dict[str, Any]) -> str:
    names = ("command", "commit", "machine", "versions", "seed", "options", "target")
    return "\n".join(f"{name}: {json.dumps(manifest[name])}" for name in names if name in manifest)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _milliseconds(value: float | None) -> str:
    return f"{_shown(value)} ms" if value is not None else NOTHING


def _shown(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
