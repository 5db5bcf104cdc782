"""Owns the pictures of a run. Each function takes rows and returns an SVG that stands alone; none keeps state."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

INK, ACCENT, WARN, GRID = "#1f2933", "#2563eb", "#d97706", "#d7dde4"
COLOURS = ("#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#0891b2", "#65a30d", "#475569", "#b91c1c", "#a16207")
WIDTH_INCHES, HEIGHT_INCHES = 5.2, 3.2
BINS_MAX = 240


def latency_over_time(requests: pd.DataFrame) -> str:
    """p50, p95, p99 and maximum per slice of the run, from the intended start, on a logarithmic scale."""
    answered = requests.dropna(subset=["latency_ms"])
    slices, width = _slices(answered["intended"])
    grouped = answered.groupby(slices)["latency_ms"]
    levels = grouped.quantile(np.array([0.5, 0.95, 0.99, 1.0])).unstack()
    with _figure("seconds since the start", "milliseconds") as (axes, picture):
        for level, name, colour in zip(levels.columns, ("p50", "p95", "p99", "max"), COLOURS, strict=False):
            axes.plot(levels.index * width, levels[level], label=name, color=colour, linewidth=1.3)
        axes.set_yscale("log")
        _legend(axes)
    return picture()


def latency_distribution(requests: pd.DataFrame) -> str:
    """Latency against percentile, per route, with the tail stretched: every nine gets the same width."""
    with _figure("percentile", "milliseconds") as (axes, picture):
        for colour, (route, rows) in zip(COLOURS, _largest_routes(requests), strict=False):
            values = np.sort(rows["latency_ms"].dropna().to_numpy())
            ranks = np.unique(np.geomspace(1, len(values), BINS_MAX).astype(int))
            axes.plot(len(values) / ranks, values[len(values) - ranks], label=str(route), color=colour, linewidth=1.3)
        ticks = [1, 10, 100, 1_000, 10_000, 100_000]
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(ticks, ["0", "90", "99", "99.9", "99.99", "99.999"])
        axes.set_xlim(1, max(10, len(requests)))
        _legend(axes)
    return picture()


def throughput_over_time(requests: pd.DataFrame) -> str:
    """Requests per second by outcome, stacked, beside the rate that was intended."""
    slices, width = _slices(requests["intended"])
    counts = requests.groupby([slices, "outcome"], observed=True).size().unstack(fill_value=0) / width
    with _figure("seconds since the start", "requests per second") as (axes, picture):
        axes.stackplot(counts.index * width, counts.to_numpy().T, labels=list(counts.columns), colors=COLOURS)
        axes.plot(counts.index * width, counts.sum(axis=1), color=INK, linewidth=0.8, label="intended")
        _legend(axes)
    return picture()


def lateness_over_time(requests: pd.DataFrame) -> str:
    """How late requests were sent: the client's own part of the latency."""
    sent = requests.dropna(subset=["sent"])
    slices, width = _slices(sent["intended"])
    late = ((sent["sent"] - sent["intended"]) * 1000).groupby(slices).quantile(np.array([0.5, 0.99])).unstack()
    with _figure("seconds since the start", "milliseconds late") as (axes, picture):
        axes.plot(late.index * width, late[0.5], label="p50", color=ACCENT, linewidth=1.3)
        axes.plot(late.index * width, late[0.99], label="p99", color=WARN, linewidth=1.3)
        _legend(axes)
    return picture()


def runs_over_time(records: Sequence[Mapping[str, Any]]) -> str:
    """The simulations of a log, cumulated over the hours they took: runs, orders, faults met and violations."""
    runs = pd.DataFrame(
        {
            "hours": pd.to_datetime([record["finishedAt"] for record in records]),
            "runs": 1,
            "orders": [record["orders"] for record in records],
            "faults": [sum(record["faults"].values()) for record in records],
            "violations": [len(record["violations"]) for record in records],
        }
    )
    hours = (runs.pop("hours") - pd.Timestamp(records[0]["finishedAt"])).dt.total_seconds() / 3600
    with _figure("hours", "so far") as (axes, picture):
        drawn = np.unique(np.linspace(0, len(runs) - 1, BINS_MAX).astype(int))
        for colour, (name, values) in zip(COLOURS, runs.cumsum().items(), strict=False):
            label = f"{name}: {int(values.iloc[-1]):,}"
            axes.plot(hours.iloc[drawn], values.iloc[drawn], label=label, color=colour, linewidth=1.3)
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(bottom=0)
        _legend(axes, columns=2)
    return picture()


def _slices(times: pd.Series) -> tuple[pd.Series, float]:
    """The slice each time falls in, and a slice's width in seconds: a second, or wider in long runs."""
    end = float(times.max()) if len(times) else 1.0
    width = max(1.0, end / BINS_MAX) if end > 20 else max(end / 40, 1e-3)
    return (times // width).astype("int64").rename("slice"), width


def _largest_routes(requests: pd.DataFrame, count: int = 6) -> Iterator[tuple[Any, pd.DataFrame]]:
    for route in requests["route"].value_counts().index[:count]:
        rows = requests[requests["route"] == route]
        if rows["latency_ms"].notna().any():
            yield route, rows


def _legend(axes: Any, columns: int = 4) -> None:
    """Above the plot, where no line runs."""
    axes.legend(
        frameon=False, ncols=columns, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, fontsize="small"
    )


@contextmanager
def _figure(x_label: str, y_label: str) -> Iterator[tuple[Any, Callable[[], str]]]:
    """Axes to draw on, and what to call afterwards for the SVG."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.set_xlabel(x_label, color=INK)
    axes.set_ylabel(y_label, color=INK)
    axes.grid(color=GRID, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)

    def picture() -> str:
        file = io.StringIO()
        figure.savefig(file, format="svg")
        text = file.getvalue()
        return text[text.index("<svg") :]

    yield axes, picture
