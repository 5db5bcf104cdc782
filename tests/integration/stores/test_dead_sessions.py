"""A process killed inside a transaction does not keep its documents from anybody else, under a supervisor or not."""

import asyncio
import logging
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import PyMongoError

from service.config import Config
from service.infra.mongo import dead_sessions, processes
from service.infra.mongo.dead_sessions import end_sessions
from service.infra.mongo.processes import APP_NAME_MAX, LIFETIME, Processes, unique_name
from service.infra.stores import connect
from service.presence import presence
from service.setting_kinds import APP_NAME
from service.stack import embedded
from service.stack.embedded.mongod import TRANSACTION_LIFETIME_SECONDS

GONE_PID = 2**22  # above every number that Linux gives

HOLDS_A_DOCUMENT = """
import sys, time
from pymongo import MongoClient
uri, database, app_name = sys.argv[1:]
client = MongoClient(uri, appname=app_name)
with client.start_session() as session, session.start_transaction():
    client[database].inventory.update_one({"_id": "hot"}, {"$inc": {"reserved": 1}}, session=session)
    print("holding", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def kill_a_holder(
    stores: embedded.EmbeddedStores, mongo: MongoClient[Any], database: str
) -> Iterator[Callable[..., None]]:
    mongo[database].inventory.insert_one({"_id": "hot", "reserved": 0})
    processes = []

    def kill(app_name: str, uri: str = stores.mongodb_uri) -> None:
        arguments = [sys.executable, "-c", HOLDS_A_DOCUMENT, uri, database, app_name]
        processes.append(subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True))
        assert processes[-1].stdout.readline() == "holding\n"
        processes[-1].send_signal(signal.SIGKILL)

    yield kill
    for process in processes:
        process.stdout.close()
        process.kill()
        process.wait()


async def test_the_document_is_writable_at_once_after_its_holder_was_killed(
    stores: embedded.EmbeddedStores, mongo: MongoClient[Any], database: str, kill_a_holder: Callable[..., None]
) -> None:
    kill_a_holder("shop/api-1/7")
    async with AsyncMongoClient(stores.mongodb_uri) as client:
        assert await end_sessions(client, "shop/api-1") == 1
    assert write_to_hot(mongo, database, timeout_ms=500) is None
    assert mongo[database].inventory.find_one() == {"_id": "hot", "reserved": 10}


async def test_sessions_of_other_processes_are_left_alone(
    stores: embedded.EmbeddedStores,
    mongo: MongoClient[Any],
    database: str,
    kill_a_holder: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dead_sessions, "LOOKS_AFTER_SECONDS", (0.0,))  # done before the server itself gives up
    kill_a_holder("shop/api-10/1")
    async with AsyncMongoClient(stores.mongodb_uri) as client:
        assert await end_sessions(client, "shop/api-1") == 0
        assert isinstance(write_to_hot(mongo, database, timeout_ms=300), PyMongoError)
        assert await end_sessions(client, "shop/api-10/1") == 1
    assert write_to_hot(mongo, database, timeout_ms=500) is None


@pytest.fixture
def servers_own_lifetime(mongo: MongoClient[Any]) -> Iterator[None]:
    """As MongoDB is installed: a minute, which no test waits for."""
    mongo.admin.command({"setParameter": 1, LIFETIME: 60})
    yield
    mongo.admin.command({"setParameter": 1, LIFETIME: TRANSACTION_LIFETIME_SECONDS})


@pytest.fixture
async def another(stores: embedded.EmbeddedStores, mongo: MongoClient[Any], database: str) -> AsyncIterator[Processes]:
    """A process of ours whose user of MongoDB may read and write, and nothing else."""
    mongo.admin.command("createUser", database, pwd="plain", roles=[{"role": "readWrite", "db": database}])
    uri = f"mongodb://{database}:plain@{stores.mongodb_uri.partition('@')[2]}"
    async with AsyncMongoClient(uri) as client:
        yield Processes(client, client[database], "another")
    mongo.admin.command("dropUser", database)


@pytest.mark.usefixtures("servers_own_lifetime")
@pytest.mark.parametrize("machine", ["this one", "another one"])
async def test_any_process_frees_what_a_vanished_one_had_locked_without_a_privilege(
    stores: embedded.EmbeddedStores,
    mongo: MongoClient[Any],
    database: str,
    another: Processes,
    kill_a_holder: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
) -> None:
    name = unique_name("holdfast")
    own_uri = f"mongodb://{database}:plain@{stores.mongodb_uri.partition('@')[2]}"
    kill_a_holder(name, own_uri)
    pid = GONE_PID if machine == "this one" else 1
    record = {"_id": name, "pid": pid, "machine": processes.machine() if machine == "this one" else "elsewhere"}
    mongo[database]["processes"].update_one({"_id": name}, [{"$set": {**record, "seenAt": "$$NOW"}}], upsert=True)
    if machine == "another one":
        await another.beat()
        assert isinstance(write_to_hot(mongo, database, timeout_ms=100), PyMongoError), "it may still be there"
        monkeypatch.setattr(processes, "VANISHED_AFTER_SECONDS", 0.1)
        await asyncio.sleep(0.2)
    await another.beat()
    assert write_to_hot(mongo, database, timeout_ms=500) is None
    assert mongo[database]["processes"].distinct("_id") == ["another"]


async def test_a_process_that_renews_its_record_is_left_alone_and_leaves_none_when_it_ends(
    mongo: MongoClient[Any], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(processes, "VANISHED_AFTER_SECONDS", 1.0)
    here, there, client = connect(config), connect(config), mongo[config.database]
    async with presence(here, "one"), presence(there, "two"):
        await asyncio.sleep(0.3)
        assert sorted(client["processes"].distinct("_id")) == ["one", "two"]
    assert client["processes"].distinct("_id") == []
    for each in (here, there):
        await each.close()


async def test_a_process_says_at_its_start_what_the_servers_lifetime_of_a_transaction_means(
    mongo: MongoClient[Any], config: Config, another: Processes, caplog: pytest.LogCaptureFixture
) -> None:
    stores = connect(config)
    with caplog.at_level(logging.INFO, logger=processes.__name__):
        async with presence(stores, "one"):
            pass
        assert "keeps what a killed process had locked" not in caplog.text
        mongo.admin.command({"setParameter": 1, LIFETIME: 60})
        async with presence(stores, "one"):
            pass
        mongo.admin.command({"setParameter": 1, LIFETIME: TRANSACTION_LIFETIME_SECONDS})
        assert "MongoDB keeps what a killed process had locked for up to 60 s" in caplog.text
        await another.look_at_lifetime()
        assert "could not be read" in caplog.text, "whoever may not read it is told so"
    await stores.close()


def test_no_two_processes_have_one_name_and_every_name_is_one_that_mongodb_takes() -> None:
    names = {unique_name("n" * 128) for _ in range(100)} | {unique_name("shop/api-1/7") for _ in range(100)}
    assert len(names) == 200
    assert max(map(len, names)) <= APP_NAME_MAX
    assert all(APP_NAME.fullmatch(name) for name in names)
    assert sum(name.startswith("shop/api-1/7/") for name in names) == 100, "a supervisor knows its own"


def write_to_hot(mongo: MongoClient[Any], database: str, timeout_ms: int) -> PyMongoError | None:
    try:
        mongo[database].command(
            "update",
            "inventory",
            updates=[{"q": {"_id": "hot"}, "u": {"$inc": {"reserved": 10}}}],
            maxTimeMS=timeout_ms,
        )
    except PyMongoError as error:
        return error
    return None
