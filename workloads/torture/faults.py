"""Owns what can be done to a setup. A fault is an async context manager: it strikes on entering and is over on leaving,
after which everything has to work again by itself."""

import asyncio
import resource
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from random import Random

import redis

from workloads.torture.proxy import Proxy
from workloads.torture.setups import Setup
from workloads.torture.stores import Server

FROZEN_SECONDS = (0.5, 4.0)
BROKEN_SECONDS = (0.5, 3.0)
SLOW_SECONDS = (0.02, 0.2)
STEP_DOWN_SECONDS = 5
CLOCK_SECONDS_MAX = 3.0
SPARE_FILE_BYTES = 1 << 20

Strike = Callable[[Setup, Random], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    strike: Strike


def faults_of(setup: Setup) -> list[Fault]:
    """Everything that can be done to this setup, in a fixed order: a seed's choice means the same in every run."""
    victims = sorted(setup.victims())
    faults = [Fault(f"kill {victim}", partial(_killed, victim)) for victim in victims]
    faults += [Fault(f"freeze {victim}", partial(_frozen, victim)) for victim in victims]
    faults.append(Fault("kill every api", _all_api_killed))
    faults += [Fault(f"move clock of {victim}", partial(_clock_moved, victim)) for victim in ("api-2", "worker")]
    for name, proxy in (("mongo", setup.mongo_proxy), ("redis", setup.redis_proxy)):
        if proxy is not None:
            faults.append(Fault(f"cut {name}", partial(_cut, proxy)))
            faults.append(Fault(f"slow {name}", partial(_slow, proxy)))
            faults.append(Fault(f"half-open {name}", partial(_half_open, proxy)))
    if setup.replica_set is not None:
        faults.append(Fault("kill primary", _primary_killed))
        faults.append(Fault("freeze primary", _primary_frozen))
        faults.append(Fault("step down", _stepped_down))
    if setup.mongod is not None:
        faults.append(Fault("full disk", _disk_full))
    if setup.redis is not None:
        faults.append(Fault("redis out of memory", _redis_full))
    return faults


@asynccontextmanager
async def _killed(victim: str, setup: Setup, chance: Random) -> AsyncIterator[None]:
    setup.send(victim, signal.SIGKILL)
    await asyncio.sleep(chance.uniform(*BROKEN_SECONDS))
    setup.revive()
    yield


@asynccontextmanager
async def _all_api_killed(setup: Setup, chance: Random) -> AsyncIterator[None]:
    for victim in setup.victims():
        if victim.startswith("api-"):
            setup.send(victim, signal.SIGKILL)
    await asyncio.sleep(chance.uniform(*BROKEN_SECONDS))
    yield


@asynccontextmanager
async def _frozen(victim: str, setup: Setup, chance: Random) -> AsyncIterator[None]:
    setup.send(victim, signal.SIGSTOP)
    await asyncio.sleep(chance.uniform(*FROZEN_SECONDS))
    setup.send(victim, signal.SIGCONT)
    yield


@asynccontextmanager
async def _clock_moved(victim: str, setup: Setup, chance: Random) -> AsyncIterator[None]:
    """Ahead or behind, and back again: a step each way."""
    setup.clock.move(victim, chance.uniform(-CLOCK_SECONDS_MAX, CLOCK_SECONDS_MAX))
    await asyncio.sleep(chance.uniform(*BROKEN_SECONDS))
    setup.clock.move(victim, 0)
    yield


@asynccontextmanager
async def _cut(proxy: Proxy, setup: Setup, chance: Random) -> AsyncIterator[None]:
    proxy.cut()
    await asyncio.sleep(chance.uniform(*BROKEN_SECONDS))
    proxy.heal()
    yield


@asynccontextmanager
async def _slow(proxy: Proxy, setup: Setup, chance: Random) -> AsyncIterator[None]:
    proxy.slow(chance.uniform(*SLOW_SECONDS))
    await asyncio.sleep(chance.uniform(*BROKEN_SECONDS))
    proxy.heal()
    yield


@asynccontextmanager
async def _half_open(proxy: Proxy, setup: Setup, chance: Random) -> AsyncIterator[None]:
    proxy.half_open()
    await asyncio.sleep(chance.uniform(*BROKEN_SECONDS))
    proxy.heal()
    yield


@asynccontextmanager
async def _primary_killed(setup: Setup, chance: Random) -> AsyncIterator[None]:
    """Stays dead until checkouts go on without it, or the round gives up on that."""
    primary = await _primary(setup)
    primary.kill()
    try:
        yield
    finally:
        primary.start()


@asynccontextmanager
async def _primary_frozen(setup: Setup, chance: Random) -> AsyncIterator[None]:
    """It comes back believing it is still the primary."""
    primary = await _primary(setup)
    primary.send(signal.SIGSTOP)
    try:
        yield
    finally:
        primary.send(signal.SIGCONT)


@asynccontextmanager
async def _stepped_down(setup: Setup, chance: Random) -> AsyncIterator[None]:
    assert setup.replica_set is not None
    await asyncio.to_thread(setup.replica_set.step_down, STEP_DOWN_SECONDS)
    yield


async def _primary(setup: Setup) -> Server:
    assert setup.replica_set is not None
    return await asyncio.to_thread(setup.replica_set.wait_for_primary)


@asynccontextmanager
async def _disk_full(setup: Setup, chance: Random) -> AsyncIterator[None]:
    """No file of mongod may grow beyond a little: what a full disk is to it. It is started again with room."""
    assert setup.mongod is not None
    resource.prlimit(setup.mongod.pid, resource.RLIMIT_FSIZE, (SPARE_FILE_BYTES, SPARE_FILE_BYTES))
    await asyncio.sleep(chance.uniform(*BROKEN_SECONDS))
    if setup.mongod.runs:
        setup.mongod.kill()
    setup.revive()
    yield


@asynccontextmanager
async def _redis_full(setup: Setup, chance: Random) -> AsyncIterator[None]:
    """Every write is refused."""
    assert setup.redis is not None
    with redis.Redis(port=setup.redis.port, socket_timeout=5) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        await asyncio.sleep(chance.uniform(*BROKEN_SECONDS))
        client.config_set("maxmemory", 0)
    yield
