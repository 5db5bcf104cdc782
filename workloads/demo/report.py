"""The demo's report: one HTML file with plots, documented versus measured at the top, readable on a phone."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2

TEMPLATE = Path(__file__).with_name("report_template.html")
INK, BRAND, PALE = "#1c2321", "#0b5351", "#b9c9c6"


def write_report(folder: Path, results: Mapping[str, Any]) -> Path:
    """Writes report.html into `folder`; the runs' own reports lie below it."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    html = environment.from_string(TEMPLATE.read_text()).render(
        results=results,
        counted=counted,
        facts=_facts,
        plots=[
            {"caption": "Checkouts a second on one hot SKU (logarithmic)", "svg": _plot(_contention, results)},
            {"caption": "Look-ups with and without their index (logarithmic)", "svg": _plot(_lookups, results)},
            {"caption": "Bytes on the wire", "svg": _plot(_compression, results)},
            {"caption": "What became of the replayed requests", "svg": _plot(_outcomes, results)},
        ],
    )
    path = folder / "report.html"
    path.write_text(html)
    return path


def counted(outcomes: Mapping[str, int]) -> str:
    """{"paid": 1234} as "1,234 paid"."""
    return ", ".join(f"{count:,} {outcome.replace('_', ' ')}" for outcome, count in outcomes.items())


def _facts(of: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in of.items())


def _plot(draw: Callable[[Any, Mapping[str, Any]], None], results: Mapping[str, Any]) -> str:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes, results)
    svg = io.StringIO()
    figure.savefig(svg, format="svg")
    return svg.getvalue()[svg.getvalue().index("<svg") :]


def _contention(axes: Any, results: Mapping[str, Any]) -> None:
    rows = sorted(results["contention"]["strategies"], key=lambda row: row["checkoutsPerSecond"])
    names = [row["name"].replace("_", " ") for row in rows]
    colours = [BRAND if row["name"] == "group_commit" else PALE for row in rows]
    bars = axes.barh(names, [row["checkoutsPerSecond"] for row in rows], color=colours)
    labels = [f"{row['checkoutsPerSecond']:,.0f}/s" + _oversold(row) for row in rows]
    axes.bar_label(bars, labels, padding=4, color=INK)
    axes.set_xscale("log")
    axes.margins(x=0.4)


def _oversold(row: Mapping[str, Any]) -> str:
    return f", oversold {row['oversold']:,}" if row["oversold"] else ""


def _lookups(axes: Any, results: Mapping[str, Any]) -> None:
    rows = results["lookups"]["rows"]
    _pairs(axes, [row["operation"].replace("_", " ") for row in rows], rows, "beforeMs", "afterMs", "milliseconds")
    axes.set_yscale("log")


def _compression(axes: Any, results: Mapping[str, Any]) -> None:
    rows = results["compression"]["rows"]
    _pairs(axes, [row["content"] for row in rows], rows, "bytes", "gzipBytes", "bytes")


def _pairs(axes: Any, names: list[str], rows: list[dict[str, Any]], before: str, after: str, unit: str) -> None:
    places = range(len(rows))
    axes.bar([place - 0.2 for place in places], [row[before] for row in rows], 0.4, color=PALE, label="before")
    axes.bar([place + 0.2 for place in places], [row[after] for row in rows], 0.4, color=BRAND, label="after")
    axes.set_xticks(list(places), names)
    axes.set_ylabel(unit)
    axes.legend(frameon=False)


def _outcomes(axes: Any, results: Mapping[str, Any]) -> None:
    outcomes = results["replay"]["outcomes"]
    bars = axes.bar(list(outcomes), list(outcomes.values()), color=BRAND)
    axes.bar_label(bars, padding=3, color=INK)
    axes.set_ylabel("requests")
