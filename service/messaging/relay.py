"""Relays the outbox: every fact to every consumer at least once, oldest entry first, a SKU's facts in their order.

One relay works at a time, by lease; the others stand by. A consumer is a function that bears being told twice. When one
fails for a reason of its own, its entry is tried again alone, later and later, and ends among the dead letters; the
other consumers and entries go on. A fact that cannot be read gets an entry of its own, so that those it came with are
relayed: one that no version reads is a dead letter at once, one of a newer version first waits for its worker."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

from service.infra.lasting_metrics import LastingMetrics
from service.infra.loops import STORE_DOWN
from service.infra.mongo.lease import Lease
from service.messaging.dead_letters import DeadLetters
from service.messaging.outbox import Entry, Fact, Outbox, UnreadableFact
from service.runtime import Runtime

log = logging.getLogger(__name__)
RETRY_PAUSE_MAX_SECONDS = 60

Consumer = Callable[[Sequence[Fact]], Awaitable[None]]


class Relay:
    def __init__(
        self,
        outbox: Outbox,
        lease: Lease,
        consumers: Mapping[str, Consumer],
        dead_letters: DeadLetters,
        metrics: LastingMetrics,
        runtime: Runtime,
    ) -> None:
        self._outbox, self._lease, self._consumers = outbox, lease, consumers
        self._dead_letters, self._metrics = dead_letters, metrics
        self._clock, self._config = runtime.clock, runtime.config
        self._held_until = 0.0
        dead_letters.on_replay("fact", outbox.revive)

    async def step(self) -> float:
        """Relays what waits, if this is the relay that may. Returns the seconds to pause."""
        if not await self._may():
            return self._config.outbox_lease_seconds / 3
        relayed = await self.relay()
        return 0.0 if relayed == self._config.outbox_entries_max else self._config.outbox_poll_seconds

    async def _may(self) -> bool:
        """The lease is renewed when a third of it has passed, not before every read."""
        now = self._clock.monotonic()
        if now < self._held_until:
            return True
        if not await self._lease.hold():
            return False
        self._held_until = now + self._config.outbox_lease_seconds / 3
        return True

    async def relay(self) -> int:
        """One round. Returns how many entries it took."""
        entries = await self._outbox.waiting(self._config.outbox_entries_max)
        if not entries:
            return 0
        facts, unreadable = await self._read(entries)
        entries = [entry for entry in entries if entry.id in facts] + [*unreadable]
        failures: dict[str, dict[str, Exception]] = {
            entry.id: dict.fromkeys(self._consumers, error) for entry, error in unreadable.items()
        }
        for name, consume in self._consumers.items():
            todo = [entry for entry in entries if name not in entry.done and entry.id in facts]
            for entry, error in await self._tell(consume, todo, facts):
                log.error("%s could not take %s", name, entry.id, exc_info=error)
                failures.setdefault(entry.id, {})[name] = error
        done = [entry for entry in entries if entry.id not in failures]
        await self._outbox.relayed([entry.id for entry in done])
        for entry in entries:
            if entry.id in failures:
                await self._put_off(entry, failures[entry.id])
        self._measure(done)
        return len(entries)

    async def _read(self, entries: Sequence[Entry]) -> tuple[dict[str, list[Fact]], dict[Entry, UnreadableFact]]:
        """The facts of each entry, and those that cannot be read, each in an entry of its own."""
        facts: dict[str, list[Fact]] = {}
        unreadable: dict[Entry, UnreadableFact] = {}
        for entry in entries:
            read, faults = entry.read()
            if len(entry.documents) == len(faults) == 1:
                unreadable[entry] = faults[0]
                continue
            facts[entry.id] = read
            for number, error in faults.items():
                unreadable[await self._outbox.set_aside(entry, number)] = error
        return facts, unreadable

    async def _tell(
        self, consume: Consumer, entries: Sequence[Entry], facts: Mapping[str, list[Fact]]
    ) -> list[tuple[Entry, Exception]]:
        """All at once; if that fails, one by one. Returns those it failed on."""
        if not entries:
            return []
        try:
            await consume([fact for entry in entries for fact in facts[entry.id]])
            return []
        except STORE_DOWN:
            raise
        except Exception as error:  # noqa: BLE001 - one consumer's own error must not stop the facts of all others
            if len(entries) == 1:
                return [(entries[0], error)]
        return [failure for entry in entries for failure in await self._tell(consume, [entry], facts)]

    async def _put_off(self, entry: Entry, failures: Mapping[str, Exception]) -> None:
        done = [name for name in self._consumers if name not in failures]
        hopeless = any(isinstance(error, UnreadableFact) and error.for_good for error in failures.values())
        if not hopeless and entry.failures + 1 < self._config.outbox_attempts_max:
            pause_seconds = min(2**entry.failures, RETRY_PAUSE_MAX_SECONDS)
            await self._outbox.failed(entry, done, self._clock.now() + timedelta(seconds=pause_seconds))
            return
        said = "; ".join(f"{name}: {type(error).__name__}: {error}" for name, error in failures.items())
        await self._dead_letters.add("fact", entry.id, entry.about, said)
        await self._outbox.bury(entry, done)

    def _measure(self, entries: Sequence[Entry]) -> None:
        now = self._clock.now()
        self._metrics.count("holdfast_outbox_facts", by=sum(len(entry.documents) for entry in entries))
        lags = [max(0.0, (now - entry.at).total_seconds()) for entry in entries]
        self._metrics.observe("holdfast_outbox_lag_seconds", lags)

    async def stop(self) -> None:
        """Another relay need not wait for the lease to run out."""
        await asyncio.shield(self._lease.let_go())
