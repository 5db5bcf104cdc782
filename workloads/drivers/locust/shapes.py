"""Owns how many shoppers are in the shop at each moment of a scenario. Pure: locust asks once a second.

Locust shapes users, never arrivals: for a rate that the server cannot slow down, use the open loop."""

import math
from collections.abc import Callable
from dataclasses import dataclass

SPAWN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """`crowd` maps the part of the run that has passed (0 to 1) to the share of all users that are there."""

    name: str
    about: str
    user_classes: tuple[str, ...]
    crowd: Callable[[float], float]
    run_seconds: float = 60.0

    def users_at(self, seconds: float, run_seconds: float, users: int) -> tuple[int, float] | None:
        """How many users, and how many to start a second to get there; None when the run is over."""
        if seconds >= run_seconds:
            return None
        wanted = max(1, round(users * self.crowd(seconds / run_seconds)))
        return wanted, max(1.0, users / SPAWN_SECONDS)


def _always(_: float) -> float:
    return 1.0


def _ramp(part: float) -> float:
    return part


def _flash_sale(part: float) -> float:
    """A fifth of the run is quiet; then the doors open, and the crowd thins out as it is served."""
    opens = 0.2
    return 0.1 if part < opens else 0.1 + 0.9 * math.exp(-(part - opens) / 0.5)


def _double_wave(part: float) -> float:
    def wave(peak: float) -> float:
        return math.exp(-(((part - peak) / 0.1) ** 2))

    return min(1.0, 0.1 + 0.9 * (wave(0.3) + wave(0.7)))


SHOPPING = ("Shopper", "Staff")
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("steady", "as many shoppers all the time", SHOPPING, _always),
        Scenario("ramp", "from nobody to everybody, in a straight line", SHOPPING, _ramp),
        # Nobody restocks during the sale: it is meant to sell out.
        Scenario("flash-sale", "a quiet shop, then a crowd after one product", ("FlashBuyer", "Shopper"), _flash_sale),
        Scenario("double-wave", "a morning and an evening peak", SHOPPING, _double_wave),
        Scenario("soak", "as many shoppers for an hour", SHOPPING, _always, run_seconds=3_600.0),
    )
}
