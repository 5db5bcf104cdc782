"""What goes wrong in a run: a plan with rates, and the seed's decisions along it.

Every decision is drawn from one generator per simulated process, so that a run repeats from its seed and a change
in one process leaves the others' misfortunes alone.
"""

import random
from dataclasses import dataclass, fields, replace
from math import log
from typing import Self

from pymongo.errors import AutoReconnect, PyMongoError

from workloads.simulation.mongo.store import write_conflict


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Rates are per store call unless said otherwise; 0 switches the fault off. Times are virtual seconds."""

    crash: float = 0.0  # the process dies, before the call is applied or after
    lost_request: float = 0.0  # the call never reaches the store
    lost_reply: float = 0.0  # the call is applied, its answer is lost; for a commit: the outcome is unknown
    conflict: float = 0.0  # a write conflict although nobody else wrote
    stall: float = 0.0  # the call takes very long
    pause: float = 0.0  # the whole process stands still and goes on as if nothing had happened
    request_lost: float = 0.0  # per call of a client: it never arrives
    reply_lost: float = 0.0  # per call of a client: it is carried out, the client never hears of it
    duplicate: float = 0.0  # per call of a client or background job: it is carried out twice at the same time
    payment_timeout: float = 0.0  # per payment: the provider acts and answers too late
    payment_lost: float = 0.0  # per payment: the provider never hears of it
    webhook_late: float = 0.0  # per payment: the provider's event comes minutes or hours late
    webhook_twice: float = 0.0  # per payment
    stall_seconds_max: float = 20.0
    pause_seconds_max: float = 30.0
    restart_seconds_max: float = 5.0
    skew_seconds_max: float = 0.0  # each process's clock is off by up to this, either way

    def rates(self) -> dict[str, float]:
        return {item.name: getattr(self, item.name) for item in fields(self) if not item.name.endswith("_max")}

    def scaled(self, factor: float) -> Self:
        """The same plan with every rate multiplied."""
        return replace(self, **{name: min(1.0, rate * factor) for name, rate in self.rates().items()})


NO_FAULTS = FaultPlan()

# Tuned so that a 50-order flash sale meets each kind several times in ten seeds and still sells most of its stock.
FAULTS = FaultPlan(
    crash=0.002,
    lost_request=0.004,
    lost_reply=0.004,
    conflict=0.02,
    stall=0.002,
    pause=0.001,
    request_lost=0.01,
    reply_lost=0.03,
    duplicate=0.05,
    payment_timeout=0.04,
    payment_lost=0.02,
    webhook_late=0.1,
    webhook_twice=0.2,
    skew_seconds_max=2.0,
)


class Misfortune:
    """One process's share of the plan: answers "does it happen now?" from its own generator."""

    def __init__(self, plan: FaultPlan, seed: str) -> None:
        self.change(plan)
        self._random = random.Random(seed)
        self._draw = self._random.random
        self.met: dict[str, int] = {}

    def change(self, plan: FaultPlan) -> None:
        """From now on it goes by this plan."""
        self.plan = plan
        self._rates = {fault: rate for fault, rate in plan.rates().items() if rate}

    def strikes(self, fault: str) -> bool:
        rate = self._rates.get(fault)
        if rate is None or self._draw() >= rate:
            return False
        self.met[fault] = self.met.get(fault, 0) + 1
        return True

    def seconds(self, limit: float) -> float:
        return self._random.random() * limit

    def skew_seconds(self) -> float:
        return (2 * self._random.random() - 1) * self.plan.skew_seconds_max

    def latency_seconds(self, mean: float) -> float:
        """Mostly near the mean, with a tail: long enough for others to overtake."""
        return -log(1.0 - self._draw()) / (1.0 / mean)

    def store_error(self, operation: str, in_transaction: bool) -> PyMongoError | None:
        """What the driver raises instead of delivering this call."""
        if self.strikes("lost_request"):
            return AutoReconnect("connection closed before the request was sent")
        if in_transaction and operation not in {"abort_transaction", "commit_transaction"} and self.strikes("conflict"):
            return write_conflict()
        return None
