"""One, two and four ledgers on one store, on one hot SKU and on many: throughput, batches, conflicts, and the CPU time
of both sides. With one ledger the number of buyers is varied too, which tells what a batch and an item of it cost."""

import asyncio
import multiprocessing
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import fmean
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient

from benchmarks.contention.run import AMPLE_UNITS, UnitsMissing
from benchmarks.contention.service_ledger import GroupCommit
from benchmarks.kit.outcome import RunInvalid
from benchmarks.kit.percentiles import percentile
from benchmarks.scaling.ledger_process import Turn, serve

DATABASE = "bench_scaling"
START_SECONDS_MAX = 90
HEAD_START_SECONDS = 0.1

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ScalingPlan:
    """`buyers` are shared out among the ledgers; `lone_buyers` is what one ledger is tried with besides."""

    processes: tuple[int, ...] = (1, 2, 4)
    buyers: int = 64
    lone_buyers: tuple[int, ...] = (1, 8, 24)
    hot_shares: tuple[float, ...] = (0.0, 1.0)
    rounds: int = 3
    seconds: float = 1.5
    skus: int = 1_000
    seed: int = 1

    @property
    def settings(self) -> list[tuple[int, int, float]]:
        """(ledgers, buyers in all, share of the hot SKU), in the order of a round."""
        pairs = [(1, buyers) for buyers in self.lone_buyers] + [(count, self.buyers) for count in self.processes]
        return [(count, buyers, share) for share in self.hot_shares for count, buyers in pairs]


QUICK = ScalingPlan(rounds=1, seconds=0.3, buyers=16, lone_buyers=(1, 6), skus=50)


def run(mongodb_uri: str, plan: ScalingPlan, progress: Progress = lambda turn: None) -> dict[str, Any]:
    skus = [f"SKU-{number:05}" for number in range(plan.skus + 1)]
    asyncio.run(_stock(mongodb_uri, skus, plan.seed))
    seen: dict[tuple[int, int, float], list[dict[str, Any]]] = {setting: [] for setting in plan.settings}
    with _ledgers(mongodb_uri, skus, plan) as pipes:
        for round_number in range(plan.rounds):
            for setting in plan.settings:
                seen[setting].append(_turn(mongodb_uri, pipes, setting, plan, round_number))
                progress(f"{setting[0]} ledgers, {setting[1]} buyers")
    turns = [_row(setting, rows) for setting, rows in seen.items()]
    asyncio.run(_audit(mongodb_uri, sum(turn["checkouts"] for turn in turns)))
    return {"cores": os.cpu_count(), "skus": plan.skus, "turns": turns}


async def _stock(mongodb_uri: str, skus: Sequence[str], seed: int) -> None:
    client: Any = AsyncIOMotorClient(mongodb_uri, w="majority", tz_aware=True)
    await GroupCommit(client, client[DATABASE], random.Random(seed)).stock(skus, AMPLE_UNITS)
    client.close()


@contextmanager
def _ledgers(mongodb_uri: str, skus: Sequence[str], plan: ScalingPlan) -> Iterator[list[Connection]]:
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    children = []
    try:
        for number in range(max(plan.processes)):
            ours, theirs = context.Pipe()
            child = context.Process(target=serve, args=(theirs, mongodb_uri, DATABASE, skus, plan.seed * 100 + number))
            child.start()
            theirs.close()
            pipes.append(ours)
            children.append(child)
        for pipe in pipes:
            _answer(pipe, START_SECONDS_MAX)
        yield pipes
    finally:
        for pipe, child in zip(pipes, children, strict=True):
            if child.is_alive():
                pipe.send(None)
            child.join(10)
            child.kill()


def _answer(pipe: Connection, seconds: float) -> Any:
    try:
        if pipe.poll(seconds):
            return pipe.recv()
    except EOFError as died:
        raise RunInvalid("a ledger process died") from died
    raise RunInvalid(f"a ledger process did not answer within {seconds} s")


def _turn(
    mongodb_uri: str, pipes: Sequence[Connection], setting: tuple[int, int, float], plan: ScalingPlan, round_number: int
) -> dict[str, Any]:
    count, buyers, hot_share = setting
    before, starts_at = asyncio.run(_store_cpu_seconds(mongodb_uri)), time.time() + HEAD_START_SECONDS
    for number, pipe in enumerate(pipes[:count]):
        seed = plan.seed + 1_000 * round_number + number
        pipe.send(Turn(_share(buyers, count, number), hot_share, plan.seconds, starts_at, seed))
    seen = [_answer(pipe, plan.seconds + 60) for pipe in pipes[:count]]
    return {"seen": seen, "storeCpuSeconds": asyncio.run(_store_cpu_seconds(mongodb_uri)) - before}


def _share(buyers: int, count: int, number: int) -> int:
    return buyers // count + (number < buyers % count)


async def _store_cpu_seconds(mongodb_uri: str) -> float:
    client: Any = AsyncIOMotorClient(mongodb_uri)
    used = (await client.admin.command("serverStatus"))["extra_info"]
    client.close()
    return float(used["user_time_us"] + used["system_time_us"]) / 1e6


def _row(setting: tuple[int, int, float], rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    count, buyers, hot_share = setting
    seen = [process for turn in rounds for process in turn["seen"]]
    total = {name: sum(process[name] for process in seen) for name in seen[0] if name != "latencies_ms"}
    latencies = [latency for process in seen for latency in process["latencies_ms"]]
    batches, attempts = max(1, total["batches"]), max(1, total["batches"] + total["retries"])
    rates = [sum(process["checkouts"] / process["wall_seconds"] for process in turn["seen"]) for turn in rounds]
    store_cpu_seconds = sum(turn["storeCpuSeconds"] for turn in rounds)
    return {
        "processes": count,
        "buyers": buyers,
        "hotShare": hot_share,
        "checkouts": total["checkouts"],
        "checkoutsPerSecond": round(fmean(rates), 1),
        "checkoutsPerSecondByRound": [round(rate, 1) for rate in rates],
        "batchItems": round(total["checkouts"] / batches, 2),
        "retriesPerBatch": round(total["retries"] / batches, 4),
        "batchMs": round(1_000 * total["attempt_seconds"] / batches, 3),
        "readMs": round(1_000 * total["read_seconds"] / attempts, 3),
        "processCpuMs": round(1_000 * total["cpu_seconds"] / batches, 3),
        "storeCpuMs": round(1_000 * store_cpu_seconds / batches, 3),
        "coresUsed": round(count * (total["cpu_seconds"] + store_cpu_seconds) / total["wall_seconds"], 3),
        "cycleMs": round(1_000 * total["wall_seconds"] / batches, 3),
        "p50Ms": round(percentile(latencies, 50), 3),
        "p99Ms": round(percentile(latencies, 99), 3),
    }


async def _audit(mongodb_uri: str, checkouts: int) -> None:
    client: Any = AsyncIOMotorClient(mongodb_uri)
    held = await client[DATABASE].reservations.count_documents({"status": "active"})
    await client.drop_database(DATABASE)
    client.close()
    if held != checkouts:
        raise UnitsMissing(f"{checkouts} accepted, {held} held")
