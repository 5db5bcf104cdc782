"""The model over a grid: API processes, shards, how hot the hot SKUs are, and who commits them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import pandas as pd

from workloads.scale_model.fit import calibrate
from workloads.scale_model.model import Model, Plant

MILLION_A_MINUTE = 1_000_000 / 60


@dataclass(frozen=True, slots=True)
class Grid:
    """`buyers` a process, each again as soon as answered; `demands` are (hot share of the checkouts, SKUs
    that is for, SKUs of the rest)."""

    processes: Sequence[int] = (1, 4, 16, 32)
    shards: Sequence[int] = (1, 4, 8)
    demands: Sequence[tuple[float, int, int]] = (
        (0.0, 1, 1_000),
        (0.0, 1, 100_000),
        (0.2, 1, 100_000),
        (1.0, 1, 100_000),
        (1.0, 16, 100_000),
    )
    by_sku: Sequence[bool] = (False, True)
    buyers: int = 64
    seconds: float = 3.0
    seed: int = 1

    def plants(self) -> Iterator[Plant]:
        choices = product(self.by_sku, self.demands, self.shards, self.processes)
        for by_sku, (share, hot_skus, skus), shards, processes in choices:
            yield Plant(
                processes=processes,
                shards=shards,
                buyers=self.buyers * processes,
                skus=skus,
                hot_skus=hot_skus,
                hot_share=share,
                by_sku=by_sku,
            )


QUICK = Grid(processes=(1, 4), shards=(1, 2), demands=((0.0, 1, 1_000), (1.0, 1, 1_000)), buyers=16, seconds=0.5)


def frame(
    measured: Mapping[str, Any], grid: Grid | None = None, progress: Callable[[], None] = lambda: None
) -> pd.DataFrame:
    """One row a plant: what there is, and checkouts_per_second, conflicts a batch, p50_ms and p99_ms of the wait."""
    grid = grid or Grid()
    rows = []
    for plant in grid.plants():
        flow = Model(calibrate(measured, plant.hot_share), plant, grid.seed).run(grid.seconds)
        rows.append({**asdict(plant), **asdict(flow)})
        progress()
    return pd.DataFrame(rows).drop(columns=["cores"])


def smallest(rows: pd.DataFrame, per_second: float = MILLION_A_MINUTE) -> pd.DataFrame:
    """For each kind of demand and routing the row with the fewest processes, then shards, that gets there."""
    enough = rows[rows["checkouts_per_second"] >= per_second]
    demand = ["by_sku", "hot_share", "hot_skus", "skus"]
    return enough.sort_values(["processes", "shards"]).groupby(demand, as_index=False).first()


def ceiling_of_one_sku(measured: Mapping[str, Any], seconds: float = 3.0, seed: int = 1) -> float:
    """Checkouts per second of one SKU that one process commits in the largest batches there are, HTTP done elsewhere:
    however many processes and shards there are, one SKU sells no faster."""
    costs = replace(calibrate(measured, 1.0), http_cpu_ms=0.0)
    return Model(costs, Plant(buyers=512, hot_share=1.0), seed).run(seconds).checkouts_per_second
