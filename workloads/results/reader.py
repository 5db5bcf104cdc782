"""Owns reading a result folder back: frames for the analyst, exact percentiles from rows, and the summary that every
driver writes. Needs pandas only; nothing here talks to a server."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from workloads.client.recorder import ROW_FIELDS, Chunk, parts_of
from workloads.model import outcomes
from workloads.results.verdict import RUNNING, Work

# Of the result folder; docs/workbench/result-folder.md describes it.
FORMAT_VERSION = 1

PERCENTILES = (50, 95, 99, 99.9)
REQUEST_COLUMNS = ("intended", "sent", "done", "route", "status", "outcome", "wire_bytes")


class ResultError(Exception):
    """A folder that is not a result folder, or not a whole one."""


class NoRows(ResultError):
    """A run that measured nothing: there is nothing to compare or to draw."""


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
    """The run in the folder `path`, also one that was killed: then its rows are what reached the disk. Raises
    ResultError."""
    folder = Path(path)
    manifest = load_manifest(folder)
    requests = load_requests(folder / "requests.parquet")
    documents = {name: _read_part(folder / f"{name}.json", manifest) for name in ("summary", "stock", "server")}
    if not documents["summary"]:
        documents["summary"] = summarise(requests)
    invoices = folder / "invoices.parquet"
    return Run(
        folder,
        manifest,
        requests=requests,
        invoices=_read_parquet(invoices) if invoices.is_file() else None,
        **documents,
    )


def load_measured(path: str | Path) -> Run:
    """As `load`, for who needs rows. Raises NoRows for a run that has none."""
    run = load(path)
    if run.requests.empty:
        raise NoRows(f"{run.path} has no rows: nothing was measured (its verdict is {run.manifest.get('verdict')})")
    return run


def load_manifest(folder: Path) -> dict[str, Any]:
    """The manifest alone. Raises ResultError."""
    if not (folder / "manifest.json").is_file():
        raise ResultError(f"{folder} is not a result folder: it has no manifest.json")
    manifest = read_json(folder / "manifest.json")
    version = manifest.get("formatVersion", 0)
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ResultError(f"{folder} has format version {version}; this program reads up to {FORMAT_VERSION}")
    return manifest


def load_requests(path: Path) -> pd.DataFrame:
    """The rows of `path`, or of its parts where the run was killed before they were merged. Raises ResultError."""
    files = [path] if path.is_file() else sorted(parts_of(path).glob("*.parquet"))
    if not files and not parts_of(path).is_dir():
        raise NoRows(f"{path} is missing: nothing was measured")
    frames = [_read_rows(file) for file in files] or [no_rows()[list(REQUEST_COLUMNS)]]
    return _timed(concatenated(frames))


def _read_rows(path: Path) -> pd.DataFrame:
    frame = _read_parquet(path)
    missing = set(REQUEST_COLUMNS) - set(frame.columns)
    if missing:
        raise ResultError(f"{path} lacks the columns {', '.join(sorted(missing))}")
    return frame


def no_rows() -> pd.DataFrame:
    """The frame of a run that measured nothing."""
    return frame_of(Chunk([], b""))


def concatenated(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Categories united: parts of one run need not have seen the same routes."""
    if len(frames) == 1:
        return frames[0]
    names = {
        name: union_categoricals([frame[name].astype("category") for frame in frames]) for name in ("route", "outcome")
    }
    return pd.concat([frame.drop(columns=list(names)) for frame in frames], ignore_index=True).assign(**names)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError, KeyError) as error:
        raise ResultError(f"{path} cannot be read: {error}") from None


def frame_of(chunk: Chunk) -> pd.DataFrame:
    """The rows a recorder still holds in memory, as `load_requests` would give them."""
    rows = pd.DataFrame(np.frombuffer(chunk.rows, dtype=ROW_FIELDS))
    rows["route"] = pd.Categorical.from_codes(rows["route"], pd.Index(chunk.routes))
    rows["outcome"] = pd.Categorical.from_codes(rows["outcome"], pd.Index(outcomes.ALL))
    return _timed(rows)


def _timed(requests: pd.DataFrame) -> pd.DataFrame:
    requests["latency_ms"] = (requests["done"] - requests["intended"]) * 1000
    requests["service_ms"] = (requests["done"] - requests["sent"]) * 1000
    if requests["intended"].is_monotonic_increasing:
        return requests
    return requests.sort_values("intended", kind="stable", ignore_index=True)


def load_all(root: str | Path) -> list[Run]:
    """Every run below `root`, oldest first: the history of a benchmark. Raises ResultError."""
    runs = [load(folder) for folder in run_folders(Path(root))]
    return sorted(runs, key=lambda run: run.manifest.get("startedAtEpochSeconds", 0.0))


def run_folders(root: Path) -> list[Path]:
    """The result folders of `root`, each once: `latest` is a link to one of them."""
    folders = (manifest.parent for manifest in root.glob("*/manifest.json"))
    return sorted(folder for folder in folders if not folder.is_symlink())


def counted_ms(requests: pd.DataFrame) -> pd.Series:
    """The latencies that percentiles are made of: missing, so infinitely slow, where nothing was served."""
    return requests["latency_ms"].mask(requests["outcome"].isin(outcomes.UNSERVED))


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
    """Counts, outcomes and exact percentiles, whole and per route. What failed weighs in as infinitely slow;
    `answered` has the percentiles of the rest."""
    seconds = float(requests["done"].max() - requests["intended"].min()) if requests["done"].notna().any() else 0.0
    counts = requests["outcome"].value_counts()
    return {
        **_summarise(requests, seconds),
        "seconds": round(seconds, 3),
        "dropped": int(counts.get(outcomes.DROPPED, 0)),
        "routes": {str(route): _summarise(rows, seconds) for route, rows in requests.groupby("route", observed=True)},
    }


def work_of(requests: pd.DataFrame) -> Work:
    """The requests as the verdict wants them."""
    counts = requests["outcome"].value_counts().reindex(list(outcomes.ALL), fill_value=0)
    done, failed = (int(counts[list(kinds)].sum()) for kinds in (outcomes.DONE, outcomes.UNSERVED))
    refused = {outcomes.REFUSED: int(counts[outcomes.REFUSED])}
    return Work("requests", len(requests), done, failed, {name: count for name, count in refused.items() if count})


def finite(value: float, digits: int = 3) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def _summarise(rows: pd.DataFrame, seconds: float) -> dict[str, Any]:
    counts, counted = rows["outcome"].value_counts(), counted_ms(rows)
    return {
        "requests": len(rows),
        "requestsPerSecond": round(len(rows) / seconds, 2) if seconds else 0.0,
        "outcomes": {str(outcome): int(count) for outcome, count in counts.items() if count},
        "failures": int(counts.reindex(list(outcomes.FAILURES), fill_value=0).sum()),
        "wireBytes": int(rows["wire_bytes"].sum()),
        **percentiles_ms(counted),
        "answered": {"requests": int(counted.notna().sum()), **percentiles_ms(counted.dropna())},
    }


def _read_part(path: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Empty where a run that was killed did not come to write it."""
    unfinished = manifest.get("verdict") == RUNNING and not path.exists()
    return {} if unfinished else read_json(path)


def read_json(path: Path) -> dict[str, Any]:
    """One document of a result folder. Raises ResultError."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ResultError(f"{path} cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise ResultError(f"{path} does not hold a JSON object")
    return document
