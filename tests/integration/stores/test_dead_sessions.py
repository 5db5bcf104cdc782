"""A process killed inside a transaction does not keep its documents from anybody else."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import PyMongoError

from service.stack import dead_sessions, embedded
from service.stack.dead_sessions import end_sessions

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
def kill_a_holder(stores: embedded.Stores, mongo: MongoClient[Any], database: str) -> Iterator[Callable[[str], None]]:
    mongo[database].inventory.insert_one({"_id": "hot", "reserved": 0})
    processes = []

    def kill(app_name: str) -> None:
        arguments = [sys.executable, "-c", HOLDS_A_DOCUMENT, stores.mongodb_uri, database, app_name]
        processes.append(subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True))
        assert processes[-1].stdout.readline() == "holding\n"
        processes[-1].send_signal(signal.SIGKILL)

    yield kill
    for process in processes:
        process.stdout.close()
        process.kill()
        process.wait()


async def test_the_document_is_writable_at_once_after_its_holder_was_killed(
    stores: embedded.Stores, mongo: MongoClient[Any], database: str, kill_a_holder: Callable[[str], None]
) -> None:
    kill_a_holder("shop/api-1/7")
    async with AsyncMongoClient(stores.mongodb_uri) as client:
        assert await end_sessions(client, "shop/api-1") == 1
    assert write_to_hot(mongo, database, timeout_ms=500) is None
    assert mongo[database].inventory.find_one() == {"_id": "hot", "reserved": 10}


async def test_sessions_of_other_processes_are_left_alone(
    stores: embedded.Stores,
    mongo: MongoClient[Any],
    database: str,
    kill_a_holder: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dead_sessions, "LOOKS_AFTER_SECONDS", (0.0,))  # done before the server itself gives up
    kill_a_holder("shop/api-10/1")
    async with AsyncMongoClient(stores.mongodb_uri) as client:
        assert await end_sessions(client, "shop/api-1") == 0
        assert isinstance(write_to_hot(mongo, database, timeout_ms=300), PyMongoError)
        assert await end_sessions(client, "shop/api-10/1") == 1
    assert write_to_hot(mongo, database, timeout_ms=500) is None


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
