"""Owns what a date without a time of day means to a replay: not that a whole day's invoices came in one second."""

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workloads.traces.retail import Invoice

HOUR_SECONDS, DAY_SECONDS = 3_600.0, 86_400.0
EVENLY = tuple([1 / 24] * 24)


def over_their_days(invoices: list["Invoice"], share_by_hour: tuple[float, ...]) -> list["Invoice"]:
    """The invoices of each day, in their order, spread over its hours: of n, the i-th at the quantile (i + ½) / n."""
    spread = []
    for midnight, of_day in groupby(invoices, key=lambda invoice: invoice.at_seconds):
        day = list(of_day)
        spread += [
            replace(invoice, at_seconds=midnight + second_of_day((number + 0.5) / len(day), share_by_hour))
            for number, invoice in enumerate(day)
        ]
    return spread


def second_of_day(quantile: float, share_by_hour: tuple[float, ...]) -> float:
    """The second by which `quantile` of a day's invoices have come."""
    left = quantile * sum(share_by_hour)
    for hour, share in enumerate(share_by_hour):
        if left <= share and share > 0:
            return (hour + left / share) * HOUR_SECONDS
        left -= share
    return DAY_SECONDS
