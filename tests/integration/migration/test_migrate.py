"""`holdfast migrate` and what processes find of the schema at their start, on real stores."""

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import shops
from bson import json_util
from click.testing import CliRunner
from motor.motor_asyncio import AsyncIOMotorClient
from prometheus_client import generate_latest
from prometheus_client.registry import CollectorRegistry
from pymongo import MongoClient, monitoring

from service import bootstrap, migrations
from service.config import Config
from service.infra.mongo.index_changes import Duplicates
from service.infra.mongo.indexes import Index, Probe
from service.migrate import migrate
from service.migration import migrate as migrating
from service.migration.metrics import SchemaMetrics
from service.migration.migrate import LEASE_SECONDS, AnotherMigrates, DataStep, Migration, SchemaState, UnknownIndex
from service.migration.schema import VERSION, SchemaMismatch, SchemaStore, Stored, check_window
from service.stack import embedded

OLDER_STORE = Path(__file__).parent / "store-0.1.0.json.gz"
RETIRED = "reviews.productId_1_userId_1"  # by userId first since
OF_OLD = Index("products", (("shelf", 1),), serves="what an older version asked for", probe=Probe({"shelf": 1}))

# Most of what is tried needs no more than two of them, and eighty take their time.
FEW = tuple(each for each in bootstrap.INDEXES if each.name in {"slug_1", "userId_1_createdAt_-1__id_-1"})


@pytest.fixture
def new_stores(stores: embedded.EmbeddedStores, database: str, redis_url: str) -> Config:
    return Config(mongodb_uri=stores.mongodb_uri, redis_url=redis_url, database=database, bcrypt_rounds=4)


@pytest.fixture
def older_stores(new_stores: Config, mongo: MongoClient[Any]) -> Config:
    """As 0.1.0 left them: goods, one archived; customers; orders paid, held and run out; facts not relayed yet."""
    content = json.loads(gzip.decompress(OLDER_STORE.read_bytes()))
    for name, collection in content.items():
        kept = [index for index in collection["indexes"] if index["name"] != "_id_"]
        mongo[new_stores.database].create_collection(name)
        if kept:
            mongo[new_stores.database].command("createIndexes", name, indexes=json_util.loads(json.dumps(kept)))
        if collection["documents"]:
            mongo[new_stores.database][name].insert_many(json_util.loads(json.dumps(collection["documents"])))
    return new_stores


@asynccontextmanager
async def migration_of(
    config: Config, *more: Index, steps: tuple[DataStep, ...] = (), indexes: Sequence[Index] = FEW
) -> AsyncIterator[Migration]:
    client: Any = AsyncIOMotorClient(config.mongodb_uri, tz_aware=True)
    stores = bootstrap.connect(config)
    try:
        runtime = bootstrap.build(config, stores).runtime
        yield Migration(client[config.database], (*indexes, *more), steps, runtime)
    finally:
        await stores.close()
        client.close()


def named(config: Config, mongo: MongoClient[Any]) -> set[str]:
    database = mongo[config.database]
    return {
        f"{each}.{name}" for each in database.list_collection_names() for name in database[each].index_information()
    }


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    with caplog.at_level(logging.WARNING, logger="service.migration.migrate"):
        yield lambda: [record.getMessage() for record in caplog.records if record.name == "service.migration.migrate"]


class Commands(monitoring.CommandListener):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.seen.append(event.command_name)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


async def test_new_stores_are_made_ready_by_whoever_comes_first_and_several_at_once_agree(
    new_stores: Config, mongo: MongoClient[Any]
) -> None:
    async def start() -> SchemaState:
        async with bootstrap.shop(new_stores) as shop:
            return shop.schema

    states = await asyncio.gather(*(start() for _ in range(4)))
    assert all((state.store_version, dict(state.drift)) == (VERSION, {}) for state in states)
    assert {f"{index.collection}.{index.name}" for index in bootstrap.INDEXES} < named(new_stores, mongo)
    assert mongo[new_stores.database]["leases"].count_documents({"_id": "migrate"}) == 0


async def test_a_process_that_finds_older_stores_changes_nothing_and_reads_no_document_of_theirs(
    older_stores: Config, mongo: MongoClient[Any], told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content_of(older_stores, mongo)
    commands = Commands()
    monkeypatch.setattr(monitoring, "_LISTENERS", monitoring._LISTENERS._replace(command_listeners=[commands]))
    async with bootstrap.shop(older_stores) as shop:
        assert shop.schema.store_version == 1
    assert content_of(older_stores, mongo) == before
    assert (
        set(commands.seen) & {"update", "delete", "insert", "aggregate", "createIndexes", "dropIndexes", "collMod"}
        == set()
    )
    assert commands.seen.count("find") < len({index.collection for index in bootstrap.INDEXES})
    assert f"the stores have schema 1 and this version {VERSION}: run `holdfast migrate`" in told()


async def test_older_stores_are_migrated_and_their_books_agree_before_and_after(
    older_stores: Config, mongo: MongoClient[Any]
) -> None:
    async with shops.open_shop(older_stores, shops.MovableClock()) as shop:
        before = await shops.violations(shop)
        assert set(before) <= {"no_hold_outlives_its_sweep"}, "nobody has swept since"
    async with migrations.opened(older_stores, bootstrap.build) as migration:
        report = await migration.run()
    assert (report.before, report.after, report.undeclared, report.retired) == (1, VERSION, [], [RETIRED])
    async with bootstrap.shop(older_stores) as shop:
        assert (shop.schema.store_version, dict(shop.schema.drift)) == (VERSION, {"retired": 1})
        assert set(await shops.violations(shop)) == set(before)
        await shop.expiry.sweep()
        assert await shops.violations(shop) == {}
        assert [each.name for each in (await shop.search.find("cafe", None, 5)).items] == ["Poppy's Café Mug"]
        assert (await shop.inventory.get("S1")).sellable == 0, "its product is archived"


async def test_a_migrated_store_has_nothing_more_to_be_done(older_stores: Config) -> None:
    ran = []

    async def step() -> None:
        ran.append(1)

    async with migration_of(older_stores, steps=(DataStep(2, "once", step),), indexes=bootstrap.INDEXES) as migration:
        assert (await migration.run()).steps == ["once"]
        second = await migration.run()
    assert (second.changes, second.steps, ran) == ([], [], [1])


async def test_a_dry_run_says_what_would_be_done_and_changes_nothing(
    older_stores: Config, mongo: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content_of(older_stores, mongo)
    for name, value in environment(older_stores).items():
        monkeypatch.setenv(name, value)
    async with migration_of(older_stores, indexes=bootstrap.INDEXES) as migration:
        await migration.run(dry_run=True)
    said = await asyncio.to_thread(CliRunner().invoke, migrate, ["--dry-run"], standalone_mode=False)
    assert (said.exception, said.return_value) == (None, 0)
    assert f"schema 1, would become {VERSION}" in said.output
    assert "would create " in said.output
    assert content_of(older_stores, mongo) == before


async def test_the_command_migrates_and_says_so(older_stores: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(older_stores).items():
        monkeypatch.setenv(name, value)
    said = await asyncio.to_thread(CliRunner().invoke, migrate, [], standalone_mode=False)
    assert (said.exception, said.return_value) == (None, 0)
    assert said.output.splitlines()[-1] == f"schema 1 is now {VERSION}"
    again = await asyncio.to_thread(CliRunner().invoke, migrate, ["--json"], standalone_mode=False)
    assert json.loads(again.stdout) == {
        "dryRun": False,
        "schema": {"before": VERSION, "after": VERSION},
        **{key: [] for key in ("changes", "steps", "undeclared", "duplicates")},
        "retired": [RETIRED],
    }


async def test_duplicates_are_named_and_the_stores_stay_as_they_were(
    older_stores: Config, mongo: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    products = mongo[older_stores.database]["products"]
    products.drop_index("slug_1")
    products.update_many({}, {"$set": {"slug": "one-for-all"}})
    before = named(older_stores, mongo)
    assert "leases._id_" not in before
    async with migration_of(older_stores, indexes=bootstrap.INDEXES) as migration:
        with pytest.raises(Duplicates, match="slug 'one-for-all'"):
            await migration.run()
    assert named(older_stores, mongo) == before | {"leases._id_"}
    for name, value in environment(older_stores).items():
        monkeypatch.setenv(name, value)
    said = await asyncio.to_thread(CliRunner().invoke, migrate, [], standalone_mode=False)
    assert said.return_value == 1
    assert "products.slug_1 must be unique, but 3 documents have slug 'one-for-all'" in said.stderr


async def test_one_migrates_at_a_time_and_a_dead_ones_lease_ends(
    new_stores: Config, mongo: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = mongo[new_stores.database]["leases"]
    leases.insert_one({"_id": "migrate", "holder": "api-1 of old", "until": now() + timedelta(seconds=LEASE_SECONDS)})
    async with migration_of(new_stores) as migration:
        with pytest.raises(AnotherMigrates, match="api-1 of old is migrating"):
            await migration.run()
        monkeypatch.setattr(migrating, "WAIT_PAUSE_SECONDS", 0.02)
        leases.update_one({"_id": "migrate"}, {"$set": {"until": now() + timedelta(seconds=0.3)}})
        await migration.prepare(SchemaState(), migrate=False)
    assert "schema" in mongo[new_stores.database].list_collection_names()


async def test_who_loses_the_lease_in_the_middle_stops(
    new_stores: Config, mongo: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "LEASE_SECONDS", 0.1)
    taken = {"holder": "another", "until": now() + timedelta(seconds=60)}

    async def long_step() -> None:
        mongo[new_stores.database]["leases"].update_one({"_id": "migrate"}, {"$set": taken})
        await asyncio.sleep(5)

    async with migration_of(new_stores, steps=(DataStep(2, "long", long_step),)) as migration:
        with pytest.raises(AnotherMigrates, match="the lease was lost"):
            await migration.run()
    assert mongo[new_stores.database]["schema"].count_documents({}) == 0, "not done"
    assert mongo[new_stores.database]["leases"].find_one({"_id": "migrate"})["holder"] == "another"  # type: ignore[index]


async def test_an_index_of_the_version_before_goes_a_schema_version_later(
    new_stores: Config, mongo: MongoClient[Any], told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with migration_of(new_stores, OF_OLD) as before:
        await before.run()
    async with migration_of(new_stores) as migration:
        report = await migration.run()
        assert (report.changes, report.retired) == ([], ["products.shelf_1"])
        state = SchemaState()
        await migration.prepare(state, migrate=True)
        assert dict(state.drift) == {"retired": 1}
        assert "the index products.shelf_1 is not declared any more" in told()[-1]
        monkeypatch.setattr(migrating, "VERSION", VERSION + 1)
        assert (await migration.run()).changes == ["drop products.shelf_1"]
    assert "products.shelf_1" not in named(new_stores, mongo)


async def test_an_index_made_by_hand_is_dropped_only_by_its_name(new_stores: Config, mongo: MongoClient[Any]) -> None:
    async with migration_of(new_stores) as migration:
        await migration.run()
        mongo[new_stores.database]["orders"].create_index("note")
        report = await migration.run()
        assert (report.changes, report.undeclared) == ([], ["orders.note_1"])
        with pytest.raises(UnknownIndex, match=r"orders\.userId_1"):
            await migration.run(drop=["orders.userId_1"])
        with pytest.raises(UnknownIndex, match=r"products\.slug_1: not there, or needed"):
            await migration.run(drop=["products.slug_1"])
        assert (await migration.run(drop=["orders.note_1"])).changes == ["drop orders.note_1"]
    assert "orders.note_1" not in named(new_stores, mongo)


async def test_two_versions_of_an_index_do_not_drop_each_others(new_stores: Config, mongo: MongoClient[Any]) -> None:
    """The newer one has migrated; processes of the older one start again and again meanwhile."""
    async with (
        migration_of(new_stores, OF_OLD) as older,
        migration_of(new_stores, replace(OF_OLD, sparse=True)) as newer,
    ):
        await older.run()
        await newer.run()
        after = named(new_stores, mongo)
        state = SchemaState()
        await older.prepare(state, migrate=False)
        await newer.prepare(SchemaState(), migrate=False)
        assert dict(state.drift) == {"switch": 1}
    assert named(new_stores, mongo) == after


async def test_what_is_not_as_declared_is_logged_and_counted(
    new_stores: Config, mongo: MongoClient[Any], told: Any
) -> None:
    async with migrations.opened(new_stores, bootstrap.build) as migration:
        await migration.run()
    mongo[new_stores.database]["users"].insert_one({"email": "ada@example.com"})
    mongo[new_stores.database]["products"].drop_index("slug_1")
    mongo[new_stores.database]["products"].create_index("note")
    async with bootstrap.shop(new_stores) as shop:
        registry = CollectorRegistry()
        registry.register(SchemaMetrics(shop.schema))
        exposed = generate_latest(registry).decode()
    assert 'holdfast_index_drift{kind="create"} 1.0' in exposed
    assert 'holdfast_index_drift{kind="undeclared"} 1.0' in exposed
    assert f'holdfast_schema_version{{of="stores"}} {float(VERSION)}' in exposed
    assert any(line.startswith("the index products.slug_1 is missing: run `holdfast migrate`") for line in told())
    assert "products.slug_1" not in named(new_stores, mongo), "nothing is changed at a start"


async def test_told_to_migrate_at_the_start_a_process_does(older_stores: Config, mongo: MongoClient[Any]) -> None:
    async with bootstrap.shop(replace(older_stores, migrate_at_start=True)) as shop:
        assert (shop.schema.store_version, dict(shop.schema.drift)) == (VERSION, {"retired": 1})
        assert (await shop.inventory.get("S1")).sellable == 0


async def test_stores_that_a_much_newer_version_has_migrated_are_refused_in_a_sentence(new_stores: Config) -> None:
    async with migration_of(new_stores) as migration:
        schema = SchemaStore(migration._database)
        await schema.write(Stored(VERSION + 1, VERSION, (), {}), "newer", now())
        await migration.prepare(SchemaState(), migrate=True)  # of the window: it serves, and changes nothing
        with pytest.raises(SchemaMismatch, match="already"):
            await migration.run()
        await schema.write(Stored(VERSION + 2, VERSION + 1, (), {}), "much newer", now())
        with pytest.raises(SchemaMismatch, match="run a newer version, or restore an older backup"):
            await migration.prepare(SchemaState(), migrate=False)


@pytest.mark.parametrize(
    ("stored", "process", "said"),
    [
        (Stored(2), 2, None),
        (Stored(1), 2, "the stores have schema 1 and this version 2: run `holdfast migrate`"),
        (Stored(3, oldest_process=2), 2, "the stores have schema 3, this process is of schema 2: upgrade it"),
    ],
)
def test_the_window_of_versions_that_run_together(stored: Stored, process: int, said: str | None) -> None:
    assert check_window(stored, process) == said


def environment(config: Config) -> dict[str, str]:
    return {
        "MONGODB_URI": config.mongodb_uri,
        "REDIS_URL": config.redis_url,
        "HOLDFAST_DATABASE": config.database,
        "HOLDFAST_DATA": "/nowhere",
    }


def content_of(config: Config, mongo: MongoClient[Any]) -> dict[str, Any]:
    database = mongo[config.database]
    return {
        name: (database[name].index_information(), list(database[name].find().sort("_id", 1)))
        for name in sorted(database.list_collection_names())
    }


def now() -> datetime:
    return datetime.now(UTC)
