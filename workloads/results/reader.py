"""Owns reading a result folder back: frames for the analyst, exact percentiles from rows, and the summary that every
driver writes. Needs pandas only; nothing here talks to a server."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workloads.client.recorder import ROW_FIELDS, Chunk
from workloads.model import outcomes

PERCENTILES = (50, 95, 99, 99.9)
REQUEST_COLUMNS = ("intended", "sent", "done", "route", "status", "outcome", "wire_bytes")


class ResultError(Exception):
    """A folder that is not a result folder, or not a whole one."""


@dataclass(frozen=True, slots=True)
class Run:
    """One result folder. `requests` has a row per request, in the order intended: seconds from the start of the run,
    and `latency_ms` (from the intended start), `service_ms` (from when it was really sent)."""

    path: Path
    manifest: dict[str, Any]
    requests: pd.DataFrame
    summary: dict[str, Any]
    stock: dict[str, Any]
    server: dict[str, Any]
    invoices: pd.DataFrame | None = None

    @property
    def name(self) -> str:
        return str(self.manifest.get("name", self.path.name))


def load(path: str | Path) -> Run:
    """The run in the folder `path`. Raises ResultError."""
    folder = Path(path)
    if not (folder / "manifest.json").is_file():
        raise ResultError(f"{folder} is not a result folder: it has no manifest.json")
    documents = {name: _read_json(folder / f"{name}.json") for name in ("manifest", "summary", "stock", "server")}
    invoices = folder / "invoices.parquet"
    return Run(
        folder,
        requests=load_requests(folder / "requests.parquet"),
        invoices=pd.read_parquet(invoices) if invoices.is_file() else None,
        **documents,
    )


def load_requests(path: Path) -> pd.DataFrame:
    try:
        requests = pd.read_parquet(path)
    except OSError as error:
        raise ResultError(f"{path} cannot be read: {error}") from None
    missing = set(REQUEST_COLUMNS) - set(requests.columns)
    if missing:
        raise ResultError(f"{path} lacks the columns {', '.join(sorted(missing))}")
    return _timed(requests)


def frame_of(chunk: Chunk) -> pd.DataFrame:
    """The rows a recorder still holds in memory, as `load_requests` would give them."""
    rows = pd.DataFrame(np.frombuffer(chunk.rows, dtype=ROW_FIELDS))
    rows["route"] = pd.Categorical.from_codes(rows["route"], chunk.routes)
    rows["outcome"] = pd.Categorical.from_codes(rows["outcome"], list(outcomes.ALL))
    return _timed(rows)


def _timed(requests: pd.DataFrame) -> pd.DataFrame:
    requests["latency_ms"] = (requests["done"] - requests["intended"]) * 1000
    requests["service_ms"] = (requests["done"] - requests["sent"]) * 1000
    return requests.sort_values("intended", kind="stable", ignore_index=True)


def load_all(root: str | Path) -> list[Run]:
    """Every run below `root`, oldest first: the history of a benchmark."""
    runs = [load(manifest.parent) for manifest in sorted(Path(root).glob("*/manifest.json"))]
    return sorted(runs, key=lambda run: run.manifest.get("startedAtEpochSeconds", 0.0))


def exact_percentile(latencies: pd.Series, percentile: float) -> float:
    """The nearest-rank percentile. A missing latency (a request never answered) counts as infinitely slow."""
    if latencies.empty:
        return math.nan
    values = np.sort(latencies.fillna(math.inf).to_numpy())
    return float(values[_nearest_rank(percentile, len(values))])


def percentiles_ms(latencies: pd.Series) -> dict[str, float | None]:
    """`{"p50Ms": ..., "p95Ms": ..., "p99Ms": ..., "p999Ms": ..., "maxMs": ...}`; None where it is not finite."""
    values = np.sort(latencies.fillna(math.inf).to_numpy())
    names = {f"p{percentile:g}Ms".replace(".", ""): percentile for percentile in PERCENTILES} | {"maxMs": 100}
    ranks = {name: _nearest_rank(percentile, len(values)) for name, percentile in names.items()}
    return {name: finite(values[rank]) if len(values) else None for name, rank in ranks.items()}


def _nearest_rank(percentile: float, count: int) -> int:
    """The index, from 0. Rounded first: 99.9 % of 1,000 is 999, whatever binary fractions make of it."""
    return max(0, math.ceil(round(percentile / 100 * count, 6)) - 1)


def summarise(requests: pd.DataFrame) -> dict[str, Any]:
    """Counts, outcomes and exact percentiles, whole and per route. Dropped arrivals weigh in as infinitely slow."""
    seconds = float(requests["done"].max() - requests["intended"].min()) if requests["done"].notna().any() else 0.0
    counts = requests["outcome"].value_counts()
    return {
        "requests": len(requests),
        "seconds": round(seconds, 3),
        "requestsPerSecond": round(len(requests) / seconds, 2) if seconds else 0.0,
        "outcomes": {str(outcome): int(count) for outcome, count in counts.items() if count},
        "failures": int(counts.reindex(list(outcomes.FAILURES), fill_value=0).sum()),
        "dropped": int(counts.get(outcomes.DROPPED, 0)),
        "wireBytes": int(requests["wire_bytes"].sum()),
        **percentiles_ms(requests["latency_ms"]),
        "routes": {
            str(route): _summarise_route(rows, seconds) for route, rows in requests.groupby("route", observed=True)
        },
    }


def finite(value: float, digits: int = 3) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def _summarise_route(rows: pd.DataFrame, seconds: float) -> dict[str, Any]:
    counts = rows["outcome"].value_counts()
    return {
        "requests": len(rows),
        "requestsPerSecond": round(len(rows) / seconds, 2) if seconds else 0.0,
        "outcomes": {str(outcome): int(count) for outcome, count in counts.items() if count},
        "wireBytes": int(rows["wire_bytes"].sum()),
        **percentiles_ms(rows["latency_ms"]),
    }


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ResultError(f"{path} cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise ResultError(f"{path} does not hold a JSON object")
    return document
