"""The holds to be swept: placed through the ledger, then all of them due at one moment."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from benchmarks.kit.outcome import RunInvalid
from benchmarks.kit.served_stack import RATE_LIMIT_SCALE, Served
from service import bootstrap
from service.config import Config
from service.inventory.models import Line

BUYER = "nobody-pays"
JOB = "expired-cleanup"
AT_ONCE = 256
TTL_SECONDS = 86_400  # far from any tick of the schedule until they are made due
RELAYED_SECONDS_MAX, DRAINED_SECONDS_MAX, POLL_SECONDS = 120, 240, 0.05


@dataclass(frozen=True, slots=True)
class Released:
    """What became of the holds. A lag is from a hold's expiry to the decision that freed it."""

    lags_ms: Sequence[float]
    still_held: int
    released_twice: int


class Holds:
    def __init__(self, stack: Served) -> None:
        config = Config(mongodb_uri=stack.mongodb_uri, redis_url=stack.redis_url, database=stack.database)
        self._stores = bootstrap.connect(config)
        hurried = replace(config, reservation_ttl_seconds=TTL_SECONDS, rate_limit_scale=float(RATE_LIMIT_SCALE))
        self._shop = bootstrap.build(hurried, self._stores)
        self._database: Any = self._stores.database

    async def close(self) -> None:
        await self._shop.drain()
        self._stores.client.close()
        await self._stores.redis.aclose()

    async def place(self, count: int, skus: Sequence[str], chance: random.Random) -> None:
        """`count` holds of one line each, spread evenly over `skus`; returns when their facts have been relayed."""
        wanted = [skus[number % len(skus)] for number in range(count)]
        chance.shuffle(wanted)
        left = iter(wanted)

        async def place_more() -> None:
            for sku in left:
                await self._shop.orders.checkout(BUYER, [Line(sku, 1)])

        await asyncio.gather(*(place_more() for _ in range(AT_ONCE)))
        await self.relayed()

    async def relayed(self) -> None:
        """Until the workers have told everybody what has happened, so that they stand by."""
        give_up = self._shop.clock.monotonic() + RELAYED_SECONDS_MAX
        while (await self._shop.outbox.backlog())[0]:
            _check(self._shop.clock.monotonic() < give_up, f"facts were not relayed within {RELAYED_SECONDS_MAX} s")
            await asyncio.sleep(POLL_SECONDS)

    def in_seconds(self, seconds: float) -> datetime:
        return self._shop.clock.now() + timedelta(seconds=seconds)

    def seconds_until(self, moment: datetime) -> float:
        return (moment - self._shop.clock.now()).total_seconds()

    async def make_due(self, moment: datetime) -> None:
        """What was held for a day is held until `moment` only, all of it."""
        of_buyer = {"userId": BUYER}
        await self._database["reservations"].update_many(of_buyer, {"$set": {"expiresAt": moment}})
        await self._database["orders"].update_many(of_buyer, {"$set": {"reservation.expiresAt": moment}})

    async def drained(self, due: datetime) -> None:
        """Until none is held any more. While a run of the job is open only that is looked at: what looks for the first
        hold left has to step over the index entries of all that have gone, which the server keeps for a while."""
        give_up = self._shop.clock.monotonic() + DRAINED_SECONDS_MAX
        left = {"status": "active", "expiresAt": {"$lte": due}}
        while await self._is_running() or await self._database["reservations"].find_one(left, {"_id": 1}):
            _check(self._shop.clock.monotonic() < give_up, f"holds were not drained within {DRAINED_SECONDS_MAX} s")
            await asyncio.sleep(POLL_SECONDS)

    async def _is_running(self) -> bool:
        return await self._database["job_runs"].find_one({"name": JOB, "open": True}, {"_id": 1}) is not None

    async def released(self) -> Released:
        found = self._database["reservations"].find({"userId": BUYER}, {"status": 1, "expiresAt": 1, "resolvedAt": 1})
        held = [document async for document in found]
        freed = [each for each in held if each["status"] == "expired"]
        lags_ms = [(each["resolvedAt"] - each["expiresAt"]).total_seconds() * 1_000 for each in freed]
        return Released(lags_ms, len(held) - len(freed), await self._released_twice())

    async def _released_twice(self) -> int:
        """Movements of expiry beyond one for each line, as the history has them."""
        stages = [
            {"$match": {"kind": "expire"}},
            {"$group": {"_id": {"order": "$orderId", "sku": "$sku"}, "times": {"$sum": 1}}},
            {"$group": {"_id": None, "more": {"$sum": {"$subtract": ["$times", 1]}}}},
        ]
        rows = await self._database["stock_history"].aggregate(stages, allowDiskUse=True).to_list(1)
        return int(rows[0]["more"]) if rows else 0

    async def swept_by(self) -> dict[str, int]:
        """Holds released by each worker's runs of the job."""
        released: dict[str, int] = {}
        async for run in self._database["job_runs"].find({"name": JOB, "result.released": {"$gt": 0}}):
            worker = run["worker"].rpartition("/")[0].rpartition("/")[2] or run["worker"]
            released[worker] = released.get(worker, 0) + run["result"]["released"]
        return released


def _check(in_time: bool, otherwise: str) -> None:
    if not in_time:
        raise RunInvalid(otherwise)
