"""The supervisor brings a stack up, keeps it up whatever dies, and leaves nothing behind."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from processes import all_end
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from service.stack import embedded, supervisor
from service.stack import folder as stack_folder
from service.stack.embedded import ports
from service.stack.folder import StackFolder
from service.stack.processes import Restarts, restarts

FAKE_STACK = Path(__file__).with_name("fake_stack.py")
PATIENCE_SECONDS = 60


class Stack:
    """A supervisor of fake children in a process of its own."""

    def __init__(self, data: Path, workers: int, port: int, environment: dict[str, str]) -> None:
        self.data = data
        self.stderr = tempfile.TemporaryFile("a+")  # noqa: SIM115 - closed by close()
        inherited = {name: value for name, value in os.environ.items() if name not in ("MONGODB_URI", "REDIS_URL")}
        self.process = subprocess.Popen(
            [sys.executable, str(FAKE_STACK), str(data), str(port), str(workers)],
            env={**inherited, **environment},
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            text=True,
        )

    def ready(self) -> "Stack":
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line.startswith("ready http://127.0.0.1:"), self.end()
        self.url = line.removeprefix("ready ").strip()
        until(lambda: {pid for name, pid in self.processes.items() if name not in ("mongod", "redis")} <= self.started)
        return self

    @property
    def started(self) -> set[int]:
        """The children that listen to signals by now: before that, SIGTERM ends them without a word."""
        return {int(pid) for pid in self.noted("starts.log")}

    def ask(self, path: str = "/") -> Any:
        with urlopen(self.url + path, timeout=5) as response:
            return json.load(response)

    @property
    def note(self) -> Any:
        return json.loads((self.data / "stack.json").read_text())

    def noted(self, name: str) -> list[str]:
        file = self.data / name
        return file.read_text().splitlines() if file.exists() else []

    @property
    def processes(self) -> dict[str, int]:
        processes: dict[str, int] = self.note["processes"]
        return processes

    def kill(self, name: str) -> int:
        """Kills a child and waits until another one has its place."""
        pid = self.processes[name]
        os.kill(pid, signal.SIGKILL)
        until(lambda: self.processes[name] != pid)
        return pid

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code, and what it said on stderr."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        self.process.wait(PATIENCE_SECONDS)
        return self.process.returncode, self.said()

    def said(self) -> str:
        self.stderr.seek(0)
        return self.stderr.read()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.stderr.close()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    stacks: list[Stack] = []

    def start(workers: int = 1, port: int = 0, data: Path = tmp_path, **environment: str) -> Stack:
        stacks.append(Stack(data, workers, port, environment))
        return stacks[-1]

    yield start
    for stack in stacks:
        stack.close()


@pytest.fixture
def shared(stores: embedded.EmbeddedStores) -> dict[str, str]:
    """The test process's own stores, for a stack that need not start any."""
    return {"MONGODB_URI": stores.mongodb_uri, "REDIS_URL": stores.redis_url}


def test_a_stack_comes_up_tells_where_it_is_and_stops_in_order(up: Callable[..., Stack]) -> None:
    stack = up(workers=2).ready()
    note, told = stack.note, stack.ask()
    assert note["url"] == stack.url
    assert note["pid"] == stack.process.pid
    assert set(note["processes"]) == {"mongod", "redis", "api-1", "api-2", "worker", "scheduler"}
    assert told["MONGODB_URI"] == note["mongodbUri"]
    assert told["REDIS_URL"] == note["redisUrl"]
    assert told["HOLDFAST_DATA"] == str(stack.data.resolve())
    assert told["HOLDFAST_PUBLIC_URL"] == stack.url
    assert told["HOLDFAST_SECRET"] == (stack.data / "secret").read_text()
    assert len(told["HOLDFAST_SECRET"]) >= 32

    code, _ = stack.end()
    assert code == 0
    assert all_end(note["processes"].values())
    assert not (stack.data / "stack.json").exists()
    assert stack.noted("stops.log") == [f"{name} with stores" for name in ("api", "api", "worker", "scheduler")]
    assert '"exitCode":0' in (stack.data / "log" / "mongod.log").read_text().splitlines()[-1]


def test_what_others_need_not_see_is_readable_by_the_owner_only(
    up: Callable[..., Stack], shared: dict[str, str]
) -> None:
    stack = up(**shared).ready()
    for name in ("secret", "stack.json"):
        assert stat.S_IMODE((stack.data / name).stat().st_mode) == 0o600


def test_a_restarted_stack_keeps_its_secret_and_its_data(up: Callable[..., Stack]) -> None:
    first = up().ready()
    secret = first.ask()["HOLDFAST_SECRET"]
    with MongoClient(first.note["mongodbUri"]) as client:
        client.shop.orders.insert_one({"_id": "kept"})
    first.end(signal.SIGINT)
    second = up().ready()
    assert second.ask()["HOLDFAST_SECRET"] == secret
    with MongoClient(second.note["mongodbUri"]) as client:
        assert client.shop.orders.find_one() == {"_id": "kept"}


def test_a_killed_api_process_is_replaced_and_no_connection_is_refused(
    up: Callable[..., Stack], shared: dict[str, str]
) -> None:
    stack = up(**shared).ready()
    killed = stack.processes["api-1"]
    os.kill(killed, signal.SIGKILL)
    answer = stack.ask()  # waits in the shared socket's queue
    assert answer["pid"] != killed
    assert answer["HOLDFAST_APP_NAME"].endswith("/api-1/2")


def test_a_hot_sku_is_writable_within_5_seconds_of_killing_the_process_that_holds_it(
    up: Callable[..., Stack], shared: dict[str, str], mongo: MongoClient[Any]
) -> None:
    inventory = mongo.holdfast_fake.inventory
    inventory.replace_one({"_id": "hot"}, {"reserved": 0}, upsert=True)
    stack = up(**shared).ready()
    stack.ask("/hold")
    assert not writable_within(mongo, milliseconds=100)
    started = time.monotonic()
    stack.kill("api-1")
    until(lambda: writable_within(mongo, milliseconds=100))
    assert time.monotonic() - started < 5
    assert inventory.find_one() == {"_id": "hot", "reserved": 10}
    until(lambda: "ended 1 open sessions of holdfast-" in stack.said())  # and not by the server's own time limit
    mongo.drop_database("holdfast_fake")


def test_killed_stores_come_back_on_the_same_port_with_the_same_data(up: Callable[..., Stack]) -> None:
    stack = up().ready()
    before = stack.note
    with MongoClient(before["mongodbUri"]) as client:
        client.shop.orders.insert_one({"_id": "acknowledged"})
        stack.kill("mongod")
        stack.kill("redis")
        assert client.shop.orders.find_one() == {"_id": "acknowledged"}
    assert {**stack.note, "processes": None} == {**before, "processes": None}
    assert stack.processes["api-1"] == before["processes"]["api-1"]
    redis_port = int(before["redisUrl"].rpartition(":")[2].partition("/")[0])
    until(lambda: ports.is_listening(redis_port))


def test_each_api_process_has_an_ops_port_of_its_own(up: Callable[..., Stack], shared: dict[str, str]) -> None:
    stack = up(workers=2, HOLDFAST_OPS_PORT="9400", **shared).ready()
    seen: set[str] = set()

    def both_have_answered() -> bool:
        seen.add(stack.ask()["HOLDFAST_OPS_PORT"])
        return len(seen) == 2

    until(both_have_answered)
    assert seen == {"9400", "9401"}


def test_killed_background_processes_are_replaced(up: Callable[..., Stack], shared: dict[str, str]) -> None:
    stack = up(**shared).ready()
    for name in ("worker", "scheduler"):
        stack.kill(name)
    code, said = stack.end()
    assert code == 0
    assert "worker was ended by SIGKILL and starts again" in said


def test_nothing_outlives_a_killed_supervisor_and_the_next_one_starts(up: Callable[..., Stack]) -> None:
    first = up(workers=2).ready()
    children = first.processes.values()
    first.process.kill()
    assert all_end(children)
    up().ready()


def test_a_second_stack_on_the_same_data_is_refused_by_name(up: Callable[..., Stack], shared: dict[str, str]) -> None:
    first = up(**shared).ready()
    code, said = up(**shared).wait()
    assert code == 3
    assert f"in use by process {first.process.pid} and serves {first.url}" in said


def test_a_taken_port_is_refused(up: Callable[..., Stack], shared: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = up(port=taken.getsockname()[1], **shared).wait()
    assert code == 3
    assert "Address already in use" in said
    assert "choose another --port" in said


@pytest.mark.parametrize(("variable", "url"), [("MONGODB_URI", "mongodb"), ("REDIS_URL", "redis")])
def test_an_unreachable_store_is_named(
    up: Callable[..., Stack], shared: dict[str, str], variable: str, url: str
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        code, said = up(**shared | {variable: f"{url}://127.0.0.1:{nobody.getsockname()[1]}/"}).wait()
    assert code == 2
    assert f"does not answer; check {variable}" in said


def test_a_child_that_cannot_start_ends_the_start_with_its_last_words(
    up: Callable[..., Stack], shared: dict[str, str]
) -> None:
    code, said = up(FAKE_BROKEN="api", **shared).wait()
    assert code == 1
    assert "api-1 ended with 1 while starting" in said
    assert "I cannot start: the configuration is wrong" in said


def test_a_stack_that_never_gets_ready_is_stopped(up: Callable[..., Stack], shared: dict[str, str]) -> None:
    code, said = up(FAKE_STATUS="503 Service Unavailable", FAKE_PATIENCE_SECONDS="1", **shared).wait()
    assert code == 1
    assert "not ready within 1 s: /health/ready answers 503" in said


def test_a_child_that_crashes_again_and_again_stops_the_stack(up: Callable[..., Stack], shared: dict[str, str]) -> None:
    stack = up(**shared).ready()
    children = stack.processes
    while stack.process.poll() is None:
        with suppress(URLError, ConnectionError, TimeoutError):
            stack.ask("/crash")
    code, said = stack.wait()
    assert code == 1
    assert "api-1 ended with 3 once too often, giving up; its log ends:" in said
    assert "crashed on purpose" in said
    assert all_end(pid for name, pid in children.items() if name != "api-1")


def test_a_second_signal_does_not_wait_for_a_stubborn_child(up: Callable[..., Stack], shared: dict[str, str]) -> None:
    stack = up(FAKE_STUBBORN="worker", **shared).ready()
    children = stack.processes
    stack.process.send_signal(signal.SIGINT)
    until(lambda: "worker with stores" in stack.noted("stops.log"))
    started = time.monotonic()
    code, _ = stack.end(signal.SIGINT)
    assert code == 0
    assert time.monotonic() - started < supervisor.STOP_GRACE_SECONDS
    assert all_end(children.values())


def test_an_early_crash_is_answered_ever_later_and_at_last_not_at_all() -> None:
    crashes = Restarts()
    pauses = [crashes.after_crash(float(second), age_seconds=1) for second in range(restarts.EARLY_CRASHES_MAX + 1)]
    assert pauses[:5] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert pauses[-2:] == [restarts.PAUSE_SECONDS_MAX, None]


def test_crashes_of_long_ago_do_not_count() -> None:
    crashes = Restarts()
    assert [crashes.after_crash(hour * 3600.0, age_seconds=1) for hour in range(50)] == [0.0] * 50


def test_a_child_that_had_served_is_started_again_at_once_however_often() -> None:
    crashes = Restarts()
    assert [crashes.after_crash(float(second), age_seconds=6) for second in range(50)] == [0.0] * 50


def test_a_log_is_cut_at_its_limit_and_one_older_part_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_folder, "LOG_BYTES_MAX", 100)
    folder = StackFolder(tmp_path)
    folder.log("api").parent.mkdir()
    with folder.log("api").open("a", buffering=1) as writer:
        writer.write("old\n" * 50)
        folder.bound_logs()
        writer.write("new\n")
        folder.bound_logs()
    assert folder.log("api").read_text() == "new\n"
    assert (tmp_path / "log" / "api.log.1").read_text() == "old\n" * 50


def test_the_note_of_a_dead_stack_counts_as_none(tmp_path: Path) -> None:
    folder = StackFolder(tmp_path)
    assert folder.read() is None
    folder.write({"url": "http://127.0.0.1:1", "pid": os.getpid()})
    assert folder.read() == {"url": "http://127.0.0.1:1", "pid": os.getpid()}
    ended = subprocess.Popen(["true"])
    ended.wait()
    folder.write({"url": "http://127.0.0.1:1", "pid": ended.pid})
    assert folder.read() is None


def writable_within(mongo: MongoClient[Any], milliseconds: int) -> bool:
    update = {"q": {"_id": "hot"}, "u": {"$inc": {"reserved": 10}}}
    try:
        mongo.holdfast_fake.command("update", "inventory", updates=[update], maxTimeMS=milliseconds)
    except PyMongoError:
        return False
    return True
