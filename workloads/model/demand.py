"""Owns the demand profile: what shoppers do, derived once from the packaged year and committed as profile.json, so that
load and simulation are skewed like a real shop without the trace at hand.

Derive it again with `holdfast trace profile`."""

import bisect
import json
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from workloads.traces.retail import Trace

PROFILE_FILE = Path(__file__).with_name("profile.json")
QUANTILES = (*(percent / 100 for percent in range(100)), 0.999)


@dataclass(frozen=True, slots=True)
class Profile:
    """Shares add up to 1. Quantile tables hold percentiles 0 to 99 and, last, 99.9: one line of 144 units must
    not become the size of every hundredth basket."""

    source: str
    attribution: str
    first_invoice: str
    last_invoice: str
    sales: int
    returns: int
    line_items: int
    customers: int
    guest_share: float
    arrival_share_by_hour: list[float]
    arrival_share_by_weekday: list[float]
    basket_lines_quantiles: list[float]
    line_quantity_quantiles: list[float]
    skus: int
    zipf_exponent: float
    popularity_curve: list[tuple[int, float]]

    def basket_lines(self, uniform: float) -> int:
        """The number of lines of the basket at quantile `uniform` (0 to 1)."""
        return max(1, round(_quantile(self.basket_lines_quantiles, uniform)))

    def line_quantity(self, uniform: float) -> int:
        return max(1, round(_quantile(self.line_quantity_quantiles, uniform)))


def load_profile(path: Path = PROFILE_FILE) -> Profile:
    return Profile(**json.loads(path.read_text()))


def save_profile(profile: Profile, path: Path = PROFILE_FILE) -> None:
    lines = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in asdict(profile).items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def zipf_cumulative_weights(count: int, exponent: float) -> list[float]:
    """Cumulative probabilities of ranks 1..count under Zipf's law; the last is 1."""
    weights = [rank**-exponent for rank in range(1, count + 1)]
    total = sum(weights)
    return [*(part / total for part in accumulate(weights[:-1])), 1.0]


def rank_at(cumulative_weights: list[float], uniform: float) -> int:
    """The index, from 0, of the rank at quantile `uniform` (0 to 1)."""
    return min(bisect.bisect_left(cumulative_weights, uniform), len(cumulative_weights) - 1)


def _quantile(table: list[float], uniform: float) -> float:
    position = uniform * (len(table) - 1)
    below = min(int(position), len(table) - 2)
    return table[below] + (table[below + 1] - table[below]) * (position - below)


def derive_profile(trace: "Trace") -> Profile:
    """The profile of the whole trace: sales only, since returns follow from them."""
    rows = trace.rows
    sales = rows[~rows["returned"]]
    invoices = sales.groupby("invoice", sort=False).agg(
        at=("at", "first"), lines=("sku", "size"), customer=("customer", "max")
    )
    popularity = sales.groupby("sku").size().sort_values(ascending=False).to_numpy()
    return Profile(
        source=trace.provenance["name"],
        attribution=trace.attribution or "",
        first_invoice=rows["at"].min().isoformat(),
        last_invoice=rows["at"].max().isoformat(),
        sales=len(invoices),
        returns=int(rows[rows["returned"]]["invoice"].nunique()),
        line_items=len(rows),
        customers=int(rows[rows["customer"] != ""]["customer"].nunique()),
        guest_share=round(float((invoices["customer"] == "").mean()), 4),
        arrival_share_by_hour=_shares(invoices["at"].dt.hour, 24),
        arrival_share_by_weekday=_shares(invoices["at"].dt.day_of_week, 7),
        basket_lines_quantiles=_quantiles(invoices["lines"]),
        line_quantity_quantiles=_quantiles(sales["quantity"]),
        skus=len(popularity),
        zipf_exponent=round(fit_zipf_exponent(popularity), 4),
        popularity_curve=_curve(popularity),
    )


def fit_zipf_exponent(counts_by_rank: "NDArray[Any]") -> float:
    """Maximum-likelihood exponent of Zipf's law over ranks 1..n, given how often each rank was bought."""
    import numpy as np
    from scipy.optimize import minimize_scalar

    log_ranks = np.log(np.arange(1, len(counts_by_rank) + 1))
    weighted, total = float((counts_by_rank * log_ranks).sum()), float(counts_by_rank.sum())

    def negative_log_likelihood(exponent: float) -> float:
        return exponent * weighted + total * float(np.log(np.exp(-exponent * log_ranks).sum()))

    return float(minimize_scalar(negative_log_likelihood, bounds=(0.0, 5.0), method="bounded").x)


def _shares(values: "pd.Series[Any]", size: int) -> list[float]:
    counts = values.value_counts()
    return [round(float(counts.get(value, 0)) / len(values), 6) for value in range(size)]


def _quantiles(values: "pd.Series[Any]") -> list[float]:
    return [round(float(value), 2) for value in values.quantile(list(QUANTILES))]


def _curve(popularity: "NDArray[Any]") -> list[tuple[int, float]]:
    """Share of all line items that went to the best-selling 1, 2, 5, 10, ... SKUs."""
    total, cumulative = popularity.sum(), popularity.cumsum()
    ranks = [rank for power in range(5) for rank in (10**power, 2 * 10**power, 5 * 10**power) if rank < len(popularity)]
    return [(rank, round(float(cumulative[rank - 1] / total), 5)) for rank in [*ranks, len(popularity)]]
