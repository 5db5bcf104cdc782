"""slowhttptest against the running service: two hundred clients that never finish their requests hold nothing open and
slow nobody down."""

import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator

import pytest
from api import Api
from needs import missing
from stacks import Stack, running

SLOWHTTPTEST = shutil.which("slowhttptest")
CLIENTS = 200
DEADLINE_SECONDS = 4
ATTACKS = {"headers": ("-H", "-i", "1"), "bodies": ("-B", "-i", "1", "-s", "8192")}
ATTEMPTS = 3

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def slowed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """As in production, with a shorter deadline, so that the tests wait less."""
    if SLOWHTTPTEST is None:
        missing("no slowhttptest: apt-get install slowhttptest")
    settings = {"HOLDFAST_REQUEST_SECONDS_MAX": str(DEADLINE_SECONDS)}
    with running(tmp_path_factory.mktemp("slowed"), settings) as opened:
        yield opened


def attack(stack: Stack, kind: str) -> "subprocess.Popen[str]":
    """Two hundred connections opened within a second, each sending a few bytes a second for as long as it may."""
    options = [*ATTACKS[kind], "-c", str(CLIENTS), "-r", str(CLIENTS), "-l", str(DEADLINE_SECONDS * 4), "-p", "2"]
    command = [str(SLOWHTTPTEST), *options, "-u", f"{stack.url}/api/auth/login"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def p99_ms(client: Api, seconds: float) -> float:
    """Of somebody who asks one thing after the other meanwhile."""
    taken, until = [], time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        assert client.get("/api/products").status == 200
        taken.append((time.perf_counter() - began) * 1_000)
    return statistics.quantiles(taken, n=100)[-1]


@pytest.mark.parametrize("kind", ATTACKS)
def test_clients_that_never_finish_a_request_are_hung_up_on_at_the_deadline(slowed: Stack, kind: str) -> None:
    """Slow: the deadline has to pass."""
    began = time.monotonic()
    with attack(slowed, kind) as attacked:
        said, _ = attacked.communicate(timeout=DEADLINE_SECONDS * 8)
    assert "No open connections left" in said, said[-2_000:]
    assert time.monotonic() - began < DEADLINE_SECONDS * 3, "the first to come was not the first to go"


def test_others_hardly_notice_clients_that_never_finish(slowed: Stack) -> None:
    """Slow: quiet and attacked seconds in turns. Other load on the machine only adds, so the best of three counts."""
    ratios = []
    for _ in range(ATTEMPTS):
        quiet = p99_ms(slowed.nobody, DEADLINE_SECONDS)
        with attack(slowed, "headers") as attacked:
            time.sleep(1)
            during = p99_ms(slowed.nobody, DEADLINE_SECONDS - 1)
            attacked.communicate(timeout=DEADLINE_SECONDS * 8)
        ratios.append(during / quiet)
        if ratios[-1] < 2:
            break
    assert min(ratios) < 2, ratios
