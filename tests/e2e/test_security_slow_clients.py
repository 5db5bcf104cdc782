"""Clients that never finish their requests, made by slowhttptest, against the running service: all closed at the
deadline, and nobody else has to wait for it."""

import csv
import http.client
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from needs import missing
from stacks import Stack, running

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(180)]
DEADLINE_SECONDS = 3
SLOW_CLIENTS = 200
ATTEMPTS = 3
BETWEEN_SECONDS = 0.005
HEADERS, BODIES = "-H", "-B"


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose requests must have arrived within DEADLINE_SECONDS."""
    if shutil.which("slowhttptest") is None:
        missing("no slowhttptest on the PATH: scripts/system-packages.sh tests installs it")
    settings = {"HOLDFAST_REQUEST_SECONDS_MAX": str(DEADLINE_SECONDS)}
    with running(tmp_path_factory.mktemp("hurried"), settings) as opened:
        yield opened


class Attack:
    """One run of slowhttptest, and its own record of its connections, second by second."""

    def __init__(self, kind: str, url: str, folder: Path) -> None:
        self._url, self._record = url, folder / "slow"
        self._options = [kind, "-c", SLOW_CLIENTS, "-r", SLOW_CLIENTS, "-i", 1, "-x", 10, "-l", 5 * DEADLINE_SECONDS]

    def run(self) -> None:
        argv = ["slowhttptest", *map(str, self._options), "-u", f"{self._url}/api/orders", "-g", "-o", self._record]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert "No open connections left" in done.stdout, done.stdout[-1_000:] + done.stderr

    def rows(self) -> list[dict[str, str]]:
        with self._record.with_suffix(".csv").open() as record:
            return list(csv.DictReader(record))


class Shopper(threading.Thread):
    """Asks over and over, from an address of its own, as long as `until` says."""

    def __init__(self, url: str, until: Callable[[], bool]) -> None:
        super().__init__()
        self._port, self._until = urlsplit(url).port, until
        self.latencies: list[float] = []
        self.statuses: set[int] = set()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30, source_address=("127.0.0.2", 0))
        while not self._until():
            started = time.perf_counter()
            connection.request("GET", "/api/inventory/availability?sku=ANY-1")
            with connection.getresponse() as answer:
                answer.read()
                self.statuses.add(answer.status)
            self.latencies.append(time.perf_counter() - started)
            time.sleep(BETWEEN_SECONDS)
        connection.close()

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.latencies, n=100)[-1]


def shop_for(url: str, seconds: float) -> float:
    """p99 of a quiet time."""
    ends = time.monotonic() + seconds
    shopper = Shopper(url, lambda: time.monotonic() > ends)
    shopper.run()
    return shopper.p99


def shop_during(url: str, attack: Attack) -> float:
    """p99 while the attack goes on."""
    over = threading.Event()
    shopper = Shopper(url, over.is_set)
    shopper.start()
    try:
        attack.run()
    finally:
        over.set()
        shopper.join()
    assert shopper.statuses == {200}
    return shopper.p99


@pytest.mark.parametrize("kind", [HEADERS, BODIES])
def test_slow_clients_are_closed_at_the_deadline(hurried: Stack, tmp_path: Path, kind: str) -> None:
    """Slow: two hundred clients are waited for until the deadline, on a stack of their own."""
    attack = Attack(kind, hurried.url, tmp_path)
    started = time.monotonic()
    attack.run()
    lasted, rows = time.monotonic() - started, attack.rows()
    assert max(int(row["Connected"]) for row in rows) == SLOW_CLIENTS, rows  # none was turned away at once
    assert all(int(row["Closed"]) == 0 for row in rows if int(row["Seconds"]) < DEADLINE_SECONDS), rows
    assert lasted < DEADLINE_SECONDS + 3, rows  # a second to connect them all, and its own ticks of a second
    assert {row["Service Available"] for row in rows} == {"200"}, rows


@pytest.mark.parametrize("kind", [HEADERS, BODIES])
def test_slow_clients_do_not_slow_the_others_down(hurried: Stack, tmp_path: Path, kind: str) -> None:
    """Slow: quiet times and attacks take turns. The least of three, since a neighbour on the machine disturbs too."""
    attack, ratios, before = Attack(kind, hurried.url, tmp_path), [], shop_for(hurried.url, DEADLINE_SECONDS)
    for _ in range(ATTEMPTS):
        attacked = shop_during(hurried.url, attack)
        after = shop_for(hurried.url, DEADLINE_SECONDS)
        ratios.append(attacked / max(before, after))
        before = after
        if ratios[-1] < 2:
            break
    assert min(ratios) < 2, ratios
