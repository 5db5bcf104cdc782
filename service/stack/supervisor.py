"""Runs the whole stack in the foreground: stores, API processes, worker, scheduler. What dies is started again.

The API processes share one listening socket that belongs to the supervisor, so connections wait through a restart.
Every child has a parent death signal (processes/parent_death_signal.py): a `kill -9` of the supervisor ends them all.
"""

import asyncio
import hashlib
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from service.config import Config
from service.infra.mongo.dead_sessions import end_sessions, end_sessions_seen
from service.stack.embedded import DataInUse, DataUnusable, EmbeddedError
from service.stack.embedded.stores import owned, prepared, starting
from service.stack.folder import StackFolder
from service.stack.probes import StoreUnreachable, check_mongo, check_redis, http_status, mongo_client
from service.stack.processes import ChildProcess, Command, Daemon, Restarts

EXIT_OK, EXIT_FAILED, EXIT_INVALID, EXIT_USAGE = range(4)
BACKLOG_CONNECTIONS = 4_096
READY = "/health/ready"
READY_SECONDS_MAX = 120
POLL_SECONDS = 0.02
LOOK_SECONDS = 1
STOP_GRACE_SECONDS = 15


class StackFailed(Exception):
    """A child does not come up, or crashes again and again."""


class AddressTaken(Exception):
    """Nothing can listen at the address that was asked for."""


@dataclass(frozen=True, slots=True)
class Programs:
    """What to run; `api` is given `--fd N`, the inherited listening socket."""

    api: tuple[str, ...] = (sys.executable, "-m", "service.app")
    worker: tuple[str, ...] = (sys.executable, "-m", "service.worker")
    scheduler: tuple[str, ...] = (sys.executable, "-m", "service.worker", "--scheduler")


def run(data: Path, host: str, port: int, workers: int, programs: Programs | None = None) -> int:
    """Runs until Ctrl-C, SIGTERM or a child that cannot be kept alive; port 0 takes a free one. Returns the exit code:
    0 stopped as asked, 1 gave up on a child, 2 no stores, 3 the data directory or the address is taken or unusable."""
    try:
        with owned(data), _listening(host, port) as listener:
            return asyncio.run(Supervisor(StackFolder(data), listener, workers, programs or Programs()).run())
    except DataInUse as error:
        running = StackFolder(data).read()
        _say(f"{error}" + (f" and serves {running['url']}" if running else "") + ": stop it, or give another --data")
        return EXIT_USAGE
    except (AddressTaken, DataUnusable) as error:
        _say(str(error))
        return EXIT_USAGE
    except (EmbeddedError, StoreUnreachable) as error:
        _say(str(error))
        return EXIT_INVALID


class Program(Daemon):
    """One of our own processes. Each incarnation has its own name in MongoDB, so that its sessions can be ended."""

    def __init__(self, command: Command, stack: str) -> None:
        self.name = command.name
        self._command = command
        self._stack = stack
        self._incarnation = 0

    @property
    def app_name(self) -> str:
        return f"{self._stack}/{self.name}/{self._incarnation}"

    def command(self) -> Command:
        self._incarnation += 1
        given = self._command
        environment = {**given.environment, "HOLDFAST_APP_NAME": self.app_name}
        return Command(given.name, given.argv, given.log, environment, given.pass_fds)


@dataclass(slots=True)
class Member:
    daemon: Daemon
    restarts: Restarts = field(default_factory=Restarts)
    restart_at: float | None = None  # monotonic; set while it is down

    @property
    def crashed(self) -> bool:
        return self.restart_at is None and self.daemon.process.exit_code is not None


class Supervisor:
    def __init__(self, folder: StackFolder, listener: socket.socket, workers: int, programs: Programs) -> None:
        assert workers >= 1, "a stack has at least one API process"
        self._folder = folder
        self._listener = listener
        self._url = _url_of(listener)
        self._stack = "holdfast-" + hashlib.sha256(f"{socket.gethostname()}:{folder.path}".encode()).hexdigest()[:8]
        self._stores = prepared(folder.path, os.environ)
        self._servers = [Member(server) for server in self._stores.servers]
        self._api = [self._member(f"api-{number}", self._api_command(programs)) for number in range(1, workers + 1)]
        self._background = [self._member("worker", programs.worker), self._member("scheduler", programs.scheduler)]
        self._members = [*self._servers, *self._api, *self._background]
        self._mongo: AsyncMongoClient[dict[str, Any]] | None = None
        self._cleaning: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._asked_to_stop = 0

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        life = loop.create_task(self._live())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._ask_to_stop, life)
        loop.add_signal_handler(signal.SIGCHLD, self._woken.set)
        try:
            await life
        except asyncio.CancelledError:
            return EXIT_OK
        except StackFailed as error:
            _say(str(error))
        finally:
            await self._stop()
        return EXIT_FAILED

    def _ask_to_stop(self, life: asyncio.Task[None]) -> None:
        """The first time orderly, the second time without waiting for anybody."""
        self._asked_to_stop += 1
        life.cancel()

    async def _live(self) -> None:
        started = time.monotonic()
        for pause_seconds in starting(self._stores.servers):
            await asyncio.sleep(pause_seconds)
        await check_redis(self._stores.redis_url)
        async with mongo_client(self._stores.mongodb_uri, f"{self._stack}-supervisor") as self._mongo:
            await check_mongo(self._mongo)
            # What children of a killed supervisor may have left in a server that is not ours.
            await self._ending(end_sessions_seen(self._mongo, self._stack), self._stack)
            for member in (*self._api, *self._background):
                member.daemon.start()
            await self._until_ready()
            self._write_note()
            _say(
                f"{len(self._members)} processes in {time.monotonic() - started:.1f} s, logs in {self._folder.path}/log"
            )
            click.echo(f"ready {self._url}")
            await self._watch()

    async def _until_ready(self) -> None:
        give_up = time.monotonic() + READY_SECONDS_MAX
        while (status := await self._readiness()) != 200:
            if time.monotonic() > give_up:
                tail = self._api[0].daemon.process.tail()
                answer = f"{READY} answers {status or 'nothing'}"
                raise StackFailed(f"not ready within {READY_SECONDS_MAX} s: {answer}; the API's log ends:\n{tail}")
            await asyncio.sleep(POLL_SECONDS)

    async def _readiness(self) -> int | None:
        """Asks through the shared socket, where the question waits for the first API process to come up."""
        question = asyncio.ensure_future(http_status(*_address(self._listener), READY))
        while not question.done():
            for member in self._members:
                if member.crashed:
                    raise StackFailed(_obituary(member.daemon.process, "while starting"))
            await asyncio.wait([question], timeout=POLL_SECONDS)
        return question.result()

    async def _watch(self) -> None:
        while True:
            self._woken.clear()
            now = time.monotonic()
            for member in self._members:
                if member.crashed:
                    self._bury(member, now)
                if member.restart_at is not None and member.restart_at <= now:
                    self._restart(member)
            self._folder.bound_logs()
            await self._until_woken_or_due(now)

    async def _until_woken_or_due(self, now: float) -> None:
        due = [member.restart_at - now for member in self._members if member.restart_at is not None]
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), min([LOOK_SECONDS, *due]))

    def _bury(self, member: Member, now: float) -> None:
        process = member.daemon.process
        process.kill()  # what it has started
        if isinstance(member.daemon, Program):
            self._end_sessions_of(member.daemon.app_name)
        pause_seconds = member.restarts.after_crash(now, now - process.started_at)
        if pause_seconds is None:
            raise StackFailed(_obituary(process, "once too often, giving up"))
        _say(_obituary(process, f"and starts again in {pause_seconds:.1f} s"))
        member.restart_at = now + pause_seconds

    def _restart(self, member: Member) -> None:
        member.daemon.start()
        member.restart_at = None
        self._write_note()

    def _end_sessions_of(self, app_name: str) -> None:
        assert self._mongo is not None
        ending = self._ending(end_sessions(self._mongo, app_name), app_name)
        task = asyncio.get_running_loop().create_task(ending)
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)

    async def _ending(self, sessions: Awaitable[int], app_name: str) -> None:
        try:
            ended = await sessions
        except PyMongoError as error:  # MongoDB died as well and its transactions with it, or it allows us no kill
            _say(f"the sessions of {app_name} could not be ended: {error}")
        else:
            if ended:
                _say(f"ended {ended} open sessions of {app_name}")

    def _write_note(self) -> None:
        self._folder.write(
            {
                "url": self._url,
                "mongodbUri": self._stores.mongodb_uri,
                "redisUrl": self._stores.redis_url,
                "currency": os.environ.get("HOLDFAST_CURRENCY") or Config().currency,
                "pid": os.getpid(),
                "processes": {member.daemon.name: member.daemon.process.pid for member in self._members},
            }
        )

    async def _stop(self) -> None:
        """The API drains first; the stores stay until the last one that writes to them has gone."""
        self._listener.close()
        self._folder.forget()
        for task in self._cleaning:
            task.cancel()
        one_by_one = [[member] for member in (*self._background, *reversed(self._servers))]
        for group in (self._api, *one_by_one):
            await self._stop_together([member.daemon.process for member in group if member.daemon.started])

    async def _stop_together(self, processes: Sequence[ChildProcess]) -> None:
        for process in processes:
            process.send(signal.SIGTERM)
        give_up = time.monotonic() + STOP_GRACE_SECONDS
        while any(process.exit_code is None for process in processes):
            if self._asked_to_stop > 1 or time.monotonic() > give_up:
                break
            await asyncio.sleep(POLL_SECONDS)
        for process in processes:
            process.kill()

    def _member(self, name: str, argv: tuple[str, ...]) -> Member:
        fds = (self._listener.fileno(),) if name.startswith("api-") else ()
        return Member(Program(Command(name, argv, self._folder.log(name), self._environment(name), fds), self._stack))

    def _api_command(self, programs: Programs) -> tuple[str, ...]:
        return (*programs.api, "--fd", str(self._listener.fileno()))

    def _migrates(self) -> str:
        """Our own stores, and a developer's, are brought to this version without a further command."""
        production = os.environ.get("HOLDFAST_PRODUCTION", "").lower() in {"1", "true"}
        return "0" if production and os.environ.get("MONGODB_URI") else "1"

    def _environment(self, name: str) -> Mapping[str, str]:
        return {
            **_ops_port_of(name),
            "MONGODB_URI": self._stores.mongodb_uri,
            "REDIS_URL": self._stores.redis_url,
            "HOLDFAST_DATA": str(self._folder.path),
            "HOLDFAST_SECRET": os.environ.get("HOLDFAST_SECRET") or self._folder.secret(),
            "HOLDFAST_PUBLIC_URL": os.environ.get("HOLDFAST_PUBLIC_URL") or self._url,
            "HOLDFAST_MIGRATE_AT_START": os.environ.get("HOLDFAST_MIGRATE_AT_START") or self._migrates(),
            "PYTHONUNBUFFERED": "1",  # a killed process has said everything it had to say
        }


def _ops_port_of(name: str) -> dict[str, str]:
    """Each API process its own, counted up from the one that was given: a scrape asks one and the same process."""
    kind, _, number = name.partition("-")
    given = os.environ.get("HOLDFAST_OPS_PORT", "0").strip()
    if kind != "api" or not given.isdecimal() or int(given) == 0:
        return {}
    return {"HOLDFAST_OPS_PORT": str(int(given) + int(number) - 1)}


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG_CONNECTIONS)
    except socket.gaierror as error:
        raise AddressTaken(f"cannot listen on {host}: {error.strerror}") from error
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise AddressTaken(f"cannot listen on {host} port {port}: {reason}; choose another --port") from error
    with listener:
        yield listener


def _address(listener: socket.socket) -> tuple[str, int]:
    """Where to reach it from this machine."""
    host, port = listener.getsockname()[:2]
    if (address := ip_address(host)).is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return host, port


def _url_of(listener: socket.socket) -> str:
    host, port = _address(listener)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _obituary(process: ChildProcess, outcome: str) -> str:
    code = process.exit_code
    assert code is not None
    if code < 0:
        return f"{process.name} was ended by {signal.Signals(-code).name} {outcome}"
    return f"{process.name} ended with {code} {outcome}; its log ends:\n{process.tail()}"


def _say(message: str) -> None:
    click.echo(message, err=True)
