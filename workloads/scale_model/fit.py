"""What the model of `scale` costs, from measurement with one ledger, and how far off it then is with more of them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workloads.scale_model.model import Costs, Flow, Line, Model, Plant

MEASURED_FILE = Path(__file__).with_name("measured.json")
Turn = Mapping[str, Any]


def load_measured(path: Path = MEASURED_FILE) -> dict[str, Any]:
    """The document of `holdfast bench scaling --json`, and `httpCpuMs` where it is known. Raises ValueError."""
    measured: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if not measured.keys() >= {"turns", "skus"}:
        raise ValueError(f"{path} is not the document of `holdfast bench scaling --json`")
    return measured


def calibrate(measured: Mapping[str, Any], hot_share: float) -> Costs:
    """From the turns of one ledger only. Between all spread and all hot the costs are mixed."""
    spread, hot = (_costs(_turns(measured, share)) for share in (0.0, 1.0))
    mixed = {name: _mix(getattr(spread, name), getattr(hot, name), hot_share) for name in LINES}
    return Costs(**mixed, http_cpu_ms=float(measured.get("httpCpuMs", 0.0)))


LINES = ("commit", "read", "process_cpu", "store_cpu", "around")


def _mix(spread: Line, hot: Line, hot_share: float) -> Line:
    def between(ends: tuple[float, float]) -> float:
        return (1 - hot_share) * ends[0] + hot_share * ends[1]

    return Line(
        between((spread.of_a_batch, hot.of_a_batch)),
        between((spread.of_an_item, hot.of_an_item)),
    )


def _turns(measured: Mapping[str, Any], hot_share: float) -> list[Turn]:
    found = [turn for turn in measured["turns"] if turn["processes"] == 1 and turn["hotShare"] == hot_share]
    if len({turn["buyers"] for turn in found}) < 2:
        raise ValueError(f"one ledger was not measured with several numbers of buyers at hot share {hot_share}")
    return found


def _costs(turns: Sequence[Turn]) -> Costs:
    def line(of: Callable[[Turn], float]) -> Line:
        items = np.array([turn["batchItems"] for turn in turns])
        values = np.array([max(1e-6, of(turn)) for turn in turns])
        # Weighted so that small and large batches count alike; a cost is never negative.
        slope, start = np.polyfit(items, values, 1, w=1 / values)
        return Line(max(0.0, float(start)), max(0.0, float(slope)))

    def around(turn: Turn) -> float:
        return float(turn["cycleMs"] - turn["batchMs"])

    return Costs(
        commit=line(lambda turn: turn["batchMs"]),
        read=line(lambda turn: turn["readMs"]),
        process_cpu=line(lambda turn: turn["processCpuMs"] - around(turn)),
        store_cpu=line(lambda turn: turn["storeCpuMs"]),
        around=line(around),
    )


def cores_given(measured: Mapping[str, Any]) -> float:
    """The most cores that ledgers and store together got in any turn: fewer than the machine has where others are at
    work too. The one figure that is taken from turns of several ledgers."""
    return max(float(turn["coresUsed"]) for turn in measured["turns"])


@dataclass(frozen=True, slots=True)
class Compared:
    """One measured turn beside its prediction; `error` is relative, of checkouts per second."""

    processes: int
    buyers: int
    hot_share: float
    calibrated: bool
    measured_per_second: float
    predicted: Flow
    measured_retries: float
    measured_p50_ms: float
    measured_p99_ms: float

    @property
    def error(self) -> float:
        return self.predicted.checkouts_per_second / self.measured_per_second - 1


def compare(measured: Mapping[str, Any], seconds: float = 6.0, seed: int = 1) -> list[Compared]:
    """Every measured turn: those of one ledger gave the costs, those of more are predicted."""
    return [_compared(measured, turn, seconds, seed) for turn in measured["turns"]]


def _compared(measured: Mapping[str, Any], turn: Turn, seconds: float, seed: int) -> Compared:
    costs = calibrate({**measured, "httpCpuMs": 0.0}, turn["hotShare"])
    plant = Plant(
        processes=turn["processes"],
        buyers=turn["buyers"],
        skus=measured["skus"],
        hot_share=turn["hotShare"],
        cores=cores_given(measured),
    )
    return Compared(
        turn["processes"],
        turn["buyers"],
        turn["hotShare"],
        turn["processes"] == 1,
        turn["checkoutsPerSecond"],
        Model(costs, plant, seed).run(seconds),
        turn["retriesPerBatch"],
        turn["p50Ms"],
        turn["p99Ms"],
    )


def mean_error(compared: Sequence[Compared]) -> float:
    """The mean size of the relative error of checkouts per second, over the turns that were predicted."""
    return float(np.mean([abs(row.error) for row in compared if not row.calibrated]))
