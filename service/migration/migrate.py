"""Migration of the stores to this version: one holder at a time, by a lease; every step may be done twice.

Indexes first, since data steps go by them; what an older version had and this one has not is dropped by the schema
version after it, when no process of the older one runs any more, or when told to."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from service.infra.mongo.client import Database
from service.infra.mongo.index_changes import Duplicates, IndexPlan, Kind, apply, find_duplicates, planned
from service.infra.mongo.indexes import Index
from service.infra.mongo.lease import Lease
from service.migration.schema import (
    OLDEST_PROCESS,
    RUN,
    VERSION,
    Epochs,
    SchemaMismatch,
    SchemaStore,
    Stored,
    check_window,
    holds_nothing,
)
from service.runtime import Runtime

log = logging.getLogger(__name__)
LEASE = "migrate"
LEASE_SECONDS = 30
WAIT_PAUSE_SECONDS = 0.2
WAIT_SECONDS_MAX = 600
DRIFT_LOGGED_MAX = 20


class AnotherMigrates(Exception):
    """One at a time: the lease is another one's, or was lost to it."""


class UnknownIndex(Exception):
    """Asked to drop what is not there, or what this version needs."""


@dataclass(frozen=True, slots=True)
class DataStep:
    """What has to be done once to stores of a schema before `version`. It bears being done twice, and two versions
    running meanwhile."""

    version: int
    name: str
    run: Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Report:
    """What was done, or would be."""

    before: int
    after: int
    changes: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    undeclared: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)


@dataclass(slots=True)
class SchemaState:
    """What a process found at its start, for its metrics."""

    store_version: int = VERSION
    epoch: int = 0
    drift: Counter[str] = field(default_factory=Counter)

    def current_epoch(self) -> int:
        return self.epoch


class Migration:
    def __init__(
        self, database: Database, indexes: Sequence[Index], steps: Sequence[DataStep], runtime: Runtime
    ) -> None:
        self._database, self._indexes, self._steps = database, indexes, steps
        self._clock, self._schema = runtime.clock, SchemaStore(database)
        self._by = f"{runtime.config.app_name} {runtime.ids.new()}"
        self._lease = Lease(database, LEASE, self._by, LEASE_SECONDS, runtime.clock)

    # What a process does at its start.

    async def prepare(self, state: SchemaState, *, migrate: bool) -> None:
        """New stores are made ready by whoever comes first. Others are looked at, unless told to `migrate` them: what
        is not as declared is logged and counted, and nothing is changed and no document read. Raises SchemaMismatch."""
        stored = await self._after_others()
        if stored is None and await holds_nothing(self._database, sorted({each.collection for each in self._indexes})):
            migrate = True
        plan = await planned(self._database, self._indexes)
        if migrate and _is_behind(stored, plan):
            await self._run_in_turn()
            stored, plan = await self._schema.read(), await planned(self._database, self._indexes)
        await self._look(stored or Stored(), plan, state)

    async def _after_others(self) -> Stored | None:
        """The stores' schema. Whoever makes new ones ready is waited for."""
        stored = await self._schema.read()
        give_up = self._clock.monotonic() + WAIT_SECONDS_MAX
        while stored is None and await self._lease.holder() is not None and self._clock.monotonic() < give_up:
            await self._clock.sleep(WAIT_PAUSE_SECONDS)
            stored = await self._schema.read()
        return stored

    async def _run_in_turn(self) -> None:
        give_up = self._clock.monotonic() + WAIT_SECONDS_MAX
        while True:
            try:
                await self.run()
                return
            except AnotherMigrates:
                if self._clock.monotonic() > give_up:
                    raise
            await self._clock.sleep(WAIT_PAUSE_SECONDS)

    async def _look(self, stored: Stored, plan: IndexPlan, state: SchemaState) -> None:
        if (sentence := check_window(stored)) is not None:
            log.warning(sentence)
        drift = [
            (change.kind.name.lower(), f"{change.collection}.{change.old or change.name} {change.kind.value}: {RUN}")
            for change in plan.changes
        ]
        retired = self._retired(stored, plan)
        drift += [("retired", f"{name} {Kind.DROP.value}: a later migration drops it") for name in sorted(retired)]
        drift += [("undeclared", f"{name} is none of ours") for name in plan.undeclared if name not in retired]
        for _, sentence in drift[:DRIFT_LOGGED_MAX]:
            log.warning("the index %s", sentence)
        state.epoch = await Epochs(self._database).current()
        state.store_version, state.drift = stored.version, Counter(kind for kind, _ in drift)

    # What `holdfast migrate` does.

    async def run(
        self, *, dry_run: bool = False, drop: Collection[str] = (), say: Callable[[str], None] = log.info
    ) -> Report:
        """Raises AnotherMigrates, Duplicates before anything is changed, UnknownIndex, SchemaMismatch."""
        if dry_run:
            return (await self._planned(drop))[2]
        async with self._held():
            stored, plan, report = await self._planned(drop)
            if report.duplicates:
                raise Duplicates(report.duplicates)
            await self._carry_out(stored, plan, report, say)
        return report

    async def _planned(self, drop: Collection[str]) -> tuple[Stored, IndexPlan, Report]:
        stored = await self._schema.read() or Stored()
        check_window(stored)
        if stored.version > VERSION:
            raise SchemaMismatch(f"The stores have schema {stored.version} already, and this version only {VERSION}")
        plan = await planned(self._database, self._indexes, {*stored.retired_before(VERSION), *drop})
        if unknown := sorted(
            set(drop) - {f"{each.collection}.{each.name}" for each in plan.changes if each.kind is Kind.DROP}
        ):
            raise UnknownIndex(f"{', '.join(unknown)}: not there, or needed by this version")
        retired = self._retired(stored, plan)
        return (
            stored,
            plan,
            Report(
                before=stored.version,
                after=max(stored.version, VERSION),
                changes=[str(change) for change in plan.changes],
                steps=[step.name for step in self._due(stored)],
                retired=sorted(retired),
                undeclared=sorted(set(plan.undeclared) - set(retired)),
                duplicates=await find_duplicates(self._database, plan.changes),
            ),
        )

    def _due(self, stored: Stored) -> list[DataStep]:
        return [step for step in self._steps if step.version > stored.version]

    def _retired(self, stored: Stored, plan: IndexPlan) -> dict[str, int]:
        """What the service has once made and does not declare, as long as it is there."""
        known = dict.fromkeys(stored.indexes, VERSION) | dict(stored.retired or {})
        return {name: known[name] for name in plan.undeclared if name in known}

    async def _carry_out(self, stored: Stored, plan: IndexPlan, report: Report, say: Callable[[str], None]) -> None:
        for change in plan.changes:
            say(str(change))
            await apply(self._database, change)
        for step in self._due(stored):
            say(step.name)
            await step.run()
        oldest = max(stored.oldest_process, OLDEST_PROCESS)
        after = Stored(report.after, oldest, tuple(plan.ours), self._retired(stored, plan))
        await self._schema.write(after, self._by, self._clock.now())

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        """Holds the lease; whoever loses it, having slept past its end, stops where it is."""
        if not await self._lease.hold():
            raise AnotherMigrates(f"{await self._lease.holder()} is migrating; its lease ends by itself if it is dead")
        try:
            async with asyncio.timeout(None) as bound:
                keeping = asyncio.create_task(self._keep(bound))
                try:
                    yield
                finally:
                    keeping.cancel()
        except TimeoutError:
            raise AnotherMigrates("the lease was lost to another one; run it again") from None
        finally:
            await self._lease.let_go()

    async def _keep(self, bound: asyncio.Timeout) -> None:
        while True:
            await self._clock.sleep(LEASE_SECONDS / 3)
            if not await self._lease.hold():
                bound.reschedule(asyncio.get_running_loop().time())


def _is_behind(stored: Stored | None, plan: IndexPlan) -> bool:
    if stored is None or stored.version < VERSION:
        return True
    return stored.version == VERSION and bool(plan.changes)
