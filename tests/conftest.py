"""Real stores for the tests: one mongod and one redis-server per test process, one fresh database per test."""

import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import file_watch.sitecustomize as file_watch
import hypothesis
import psutil
import pytest
import redis
import shops
from lengths import EXAMPLES_OF_A_PROPERTY, FAST, LONG
from pymongo import MongoClient
from pymongo.database import Database
from xdist.scheduler import LoadScopeScheduling

from service.bootstrap import Shop
from service.config import Config
from service.stack import embedded
from workloads.traces.names import COMPLETE_JOURNEY

if TYPE_CHECKING:
    from workloads.traces.retail import Trace

# jsonschema imports its checker of internationalised addresses where Jupyter brought it: five seconds a process to
# compile a grammar that no test asks for.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
TESTS = Path(__file__).parent
MEMORY, MEMORY_BYTES_MIN = Path("/dev/shm"), 8 << 30  # a file system in memory, where it is mounted
FOLDERS_WITH_SERVERS = {"integration", "e2e", "pages"}
# Each starts its own; every other file of e2e shares one stack, whose queries are looked at when all else is done.
OWN_STACKS = {"e2e/test_jobs_kills.py", "e2e/test_security_slow_clients.py", "e2e/test_torture.py"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out what only has a long form, marks what needs a server, and starts the slow first, so that no worker is
    left with one at the end."""
    items[:] = [item for item in items if LONG or item.get_closest_marker("long_only") is None]
    for item in items:
        folder, fixtures = item.path.relative_to(TESTS).parts[0], set(getattr(item, "fixturenames", ()))
        if folder in FOLDERS_WITH_SERVERS or "stores" in fixtures:
            item.add_marker(pytest.mark.server)
    items.sort(key=_waits)


def _waits(item: pytest.Item) -> int:
    """Whoever takes long begins early: the slow, then browsers, then the rest."""
    if item.get_closest_marker("slow"):
        return 0
    return 1 if item.get_closest_marker("browser") else 2


class Groups(LoadScopeScheduling):
    """pytest-xdist's scheduler by scope, where a scope is what shares a server: a file, or one of the groups below.

    Its own `loadgroup` writes the group into a private part of pytest that pytest 9 no longer has."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0].removeprefix("tests/")
        if path.startswith("simulation/"):
            return nodeid
        return "contract" if path.startswith("e2e/") and path not in OWN_STACKS else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    return Groups(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Temporary files lie in memory where there is plenty: the servers of the tests never lose power, and writing for
    that moment takes a fifth of their time.

    Every Python process of the tests notes the files it opens that no clone would have (`file_watch`)."""
    if "TMPDIR" not in os.environ and _memory_is_plenty():
        room = tempfile.TemporaryDirectory(prefix="holdfast-tests-", dir=MEMORY, ignore_cleanup_errors=True)
        config.add_cleanup(room.cleanup)
        os.environ["TMPDIR"] = tempfile.tempdir = room.name
    if "TESTS_FOREIGN_FILES" not in os.environ:
        notes = tempfile.TemporaryDirectory(prefix="holdfast-files-")
        config.add_cleanup(notes.cleanup)
        os.environ["TESTS_FOREIGN_FILES"] = str(Path(notes.name) / "foreign")
    watched = (str(TESTS / "file_watch"), os.environ.get("PYTHONPATH", ""))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, watched))
    file_watch.watch(os.environ["TESTS_FOREIGN_FILES"])
    if FAST:
        hypothesis.settings.register_profile("fast", max_examples=EXAMPLES_OF_A_PROPERTY)
        hypothesis.settings.load_profile("fast")


def _memory_is_plenty() -> bool:
    """Half of what is free there would do, and as much has to be left for the servers themselves."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return False
    return min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) > MEMORY_BYTES_MIN


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    notes = Path(os.environ["TESTS_FOREIGN_FILES"])
    for path in sorted(set(notes.read_text().splitlines())) if notes.exists() else ():
        terminalreporter.write_line(f"opened a file that no clone has: {path}", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if Path(os.environ["TESTS_FOREIGN_FILES"]).exists() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def stores() -> Iterator[embedded.EmbeddedStores]:
    """Killed at the end with their data. `MONGODB_URI` / `REDIS_URL` in the environment are used instead, if given."""
    data = Path(tempfile.mkdtemp(prefix="holdfast-tests-"))
    try:
        with embedded.opened(data, keep=False) as opened:
            if "MONGODB_URI" not in os.environ:
                _keep_what_has_expired(opened.mongodb_uri)
            yield opened
    finally:
        shutil.rmtree(data)


def _keep_what_has_expired(mongodb_uri: str) -> None:
    """Tests whose clock stands in another year write what the server's own clock takes for long expired: once a minute
    it would be deleted under their hands."""
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        client.admin.command({"setParameter": 1, "ttlMonitorEnabled": False})


@pytest.fixture(scope="session")
def mongo(stores: embedded.EmbeddedStores) -> Iterator[MongoClient[dict[str, Any]]]:
    """A synchronous client for looking behind the service's back, and for making a mess there."""
    with MongoClient(stores.mongodb_uri) as client:
        yield client


@pytest.fixture
def database(mongo: MongoClient[dict[str, Any]]) -> Iterator[str]:
    """The name of an empty database that no other test sees."""
    name = f"test_{uuid4().hex}"
    yield name
    mongo.drop_database(name)


@pytest.fixture
def redis_url(stores: embedded.EmbeddedStores) -> str:
    """An empty Redis database of this test process alone, also when the server is somebody's own."""
    number = 15 - int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    url = urlsplit(stores.redis_url)._replace(path=f"/{number}").geturl()
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture(scope="session")
def indexed_database(mongo: MongoClient[dict[str, Any]]) -> Iterator[str]:
    """A database with every index of the service: made once, since making them takes longer than most tests."""
    name = shops.make_indexes(mongo)
    yield name
    mongo.drop_database(name)


def _filled(database: Database[dict[str, Any]]) -> list[str]:
    """The collections that hold anything, asked in one command: most hold nothing after most tests."""
    first, *others = database.list_collection_names()
    found = database[first].aggregate(
        [*_named(first), *({"$unionWith": {"coll": n, "pipeline": _named(n)}} for n in others)]
    )
    return [each["name"] for each in found]


def _named(collection: str) -> list[dict[str, Any]]:
    return [{"$limit": 1}, {"$project": {"_id": 0, "name": {"$literal": collection}}}]


@pytest.fixture
def config(
    stores: embedded.EmbeddedStores, mongo: MongoClient[dict[str, Any]], indexed_database: str, redis_url: str
) -> Config:
    """The service's own limits on empty, indexed stores, with password hashes that take no time."""
    for collection in _filled(mongo[indexed_database]):
        mongo[indexed_database][collection].delete_many({})
    return Config(mongodb_uri=stores.mongodb_uri, redis_url=redis_url, database=indexed_database, bcrypt_rounds=4)


@pytest.fixture
def clock() -> shops.MovableClock:
    return shops.MovableClock()


@pytest.fixture
async def shop(config: Config, clock: shops.MovableClock) -> AsyncIterator[Shop]:
    """Everything wired as in the service, on real stores, with a clock the test can move."""
    async with shops.open_shop(config, clock) as opened:
        yield opened


@pytest.fixture(scope="session")
def year() -> "Trace":
    """The packaged year of shopping, read once a process: 1,460,438 line items."""
    from workloads.traces.retail import read_trace

    return read_trace(COMPLETE_JOURNEY)
