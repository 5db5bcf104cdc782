"""Owns the user's own thresholds, `--fail-if 'checkout.p99 > 200ms'`: what may be asked, what a run's rows answer, and
when a run that is still going can be given up."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from workloads.client.recorder import parts_of
from workloads.model import outcomes
from workloads.results import reader as results
from workloads.results.verdict import Findings

PATTERN = re.compile(
    r"(?:(?P<route>[\w\-/{} ]+)\.)?(?P<metric>p\d{1,2}(?:\.\d+)?|max|rate|failures)"
    r"\s*(?P<sign>>=|<=|>|<)\s*(?P<value>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|/s|%)?"
)
UNITS = {"rate": ("/s", ""), "failures": ("%", ""), "latency": ("ms", "s", "")}
HINT = "write it like 'checkout.p99 > 200ms', 'failures > 1%' or 'rate < 50/s'"
# So many requests must be there before a run is given up early, and twice in a row they must say the same.
REQUESTS_MIN, LOOKS_MIN = 100, 2
EARLY = "ended early, "


class ThresholdError(Exception):
    """A threshold that cannot be asked. The message says how to write one."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """Fails the run when `metric` of `route` (every route, where it is empty) is beyond `limit`: milliseconds, requests
    a second, or a share of 1 (a count, where `counts`)."""

    text: str
    route: str
    metric: str
    above: bool
    limit: float
    counts: bool = False

    def rows_of(self, requests: pd.DataFrame) -> pd.DataFrame:
        return requests[requests["route"] == self.route] if self.route else requests

    def measured(self, rows: pd.DataFrame, seconds: float) -> float:
        """The metric of rows that are not none."""
        failures = float(rows["outcome"].isin(outcomes.UNSERVED).sum())
        match self.metric:
            case "failures":
                return failures if self.counts else failures / len(rows)
            case "rate":
                return (len(rows) - failures) / seconds if seconds > 0 else 0.0
            case "max":
                return results.exact_percentile(results.counted_ms(rows), 100)
            case _:
                return results.exact_percentile(results.counted_ms(rows), float(self.metric[1:]))

    def broken_by(self, value: float) -> bool:
        return value > self.limit if self.above else value < self.limit

    def told(self, value: float) -> str:
        shown = "infinite" if math.isinf(value) else f"{value:.2%}" if self._is_share else f"{value:,.4g}{self._unit}"
        return f"{self.route or 'all routes'}: {self.metric} is {shown}: --fail-if '{self.text}'"

    @property
    def _is_share(self) -> bool:
        return self.metric == "failures" and not self.counts

    @property
    def _unit(self) -> str:
        return {"failures": "", "rate": "/s"}.get(self.metric, " ms")


def parse(text: str) -> Threshold:
    """One threshold. Raises ThresholdError."""
    match = PATTERN.fullmatch(text.strip())
    if match is None:
        raise ThresholdError(f"--fail-if {text!r} cannot be read: {HINT}")
    metric, unit, above = match["metric"], match["unit"] or "", match["sign"].startswith(">")
    kind = metric if metric in UNITS else "latency"
    if unit not in UNITS[kind]:
        raise ThresholdError(f"--fail-if {text!r}: {metric} is not given in {unit}: {HINT}")
    if above == (kind == "rate"):
        worse = "below" if kind == "rate" else "above"
        raise ThresholdError(f"--fail-if {text!r} would fail a run for being good: a {metric} fails when it is {worse}")
    limit = float(match["value"]) * {"s": 1_000.0, "%": 0.01}.get(unit, 1.0)
    return Threshold(
        text.strip(), (match["route"] or "").strip(), metric, above, limit, kind == "failures" and not unit
    )


class Watch:
    """Asks a run's thresholds of the rows that have reached the disk."""

    def __init__(self, texts: Iterable[str], rows_path: Path) -> None:
        self._thresholds = [parse(text) for text in texts]
        self._parts = parts_of(rows_path)
        self._seen: dict[str, pd.DataFrame] = {}
        self._broken_looks: dict[str, int] = {}

    def look(self) -> str:
        """The sentence for which the run may be given up now, or nothing."""
        if not self._thresholds:
            return ""
        requests = self._read()
        for threshold in self._thresholds:
            rows = threshold.rows_of(requests)
            value = threshold.measured(rows, _seconds(requests)) if len(rows) >= REQUESTS_MIN else None
            broken = value is not None and threshold.broken_by(value)
            looks = self._broken_looks[threshold.text] = self._broken_looks.get(threshold.text, 0) + 1 if broken else 0
            if looks >= LOOKS_MIN and value is not None:
                return f"{EARLY}{threshold.told(value)}"
        return ""

    def add_to(self, findings: Findings, requests: pd.DataFrame) -> None:
        """What the thresholds say of the whole run; a route that was never asked for proves nothing."""
        if any(reason.startswith(EARLY) for reason in findings.failed):
            return
        for threshold in self._thresholds:
            rows = threshold.rows_of(requests)
            if rows.empty:
                routes = ", ".join(sorted(map(str, requests["route"].unique()))) or "none"
                findings.invalid.append(f"--fail-if '{threshold.text}' could not be asked: the routes are {routes}")
            elif threshold.broken_by(value := threshold.measured(rows, _seconds(requests))):
                findings.failed.append(threshold.told(value))

    def _read(self) -> pd.DataFrame:
        for part in sorted(self._parts.glob("*.parquet")):
            if part.name not in self._seen:
                self._seen[part.name] = results.load_requests(part)
        return results.concatenated(list(self._seen.values()) or [results.no_rows()])


def _seconds(requests: pd.DataFrame) -> float:
    return float(requests["done"].max() - requests["intended"].min()) if requests["done"].notna().any() else 0.0
