"""What is remembered of refused clients: never longer, and never of more people, than Redis would refuse."""

import pytest
from shops import MovableClock

from service.web.security import refusals
from service.web.security.gate import RateLimitResult
from service.web.security.rate_limit import RateLimits
from service.web.security.refusals import REMEMBERED_SECONDS_MAX, Refusals

LIMITS = RateLimits(1.0)
READ, LOGIN, ORDERS = LIMITS.of("read"), LIMITS.of("login"), LIMITS.of("checkout")


class Watch(MovableClock):
    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def remembered(watch: Watch) -> Refusals:
    return Refusals(watch)


def refused(number: int, reset_seconds: int) -> RateLimitResult:
    return RateLimitResult("", "", number, number, 0, reset_seconds)


def test_a_refused_client_is_told_the_same_again(remembered: Refusals, watch: Watch) -> None:
    remembered.remember("192.0.2.1", LOGIN, refused(2, 300))
    watch.seconds = 3.5
    known = remembered.find("192.0.2.1", LOGIN)
    assert known == RateLimitResult("", "", 2, 2, 0, 297)
    assert LOGIN.refusal(known.refused, known.reset_seconds).detail == "The limit login-client-3600 is used up"


def test_it_is_forgotten_before_redis_could_have_room(remembered: Refusals, watch: Watch) -> None:
    remembered.remember("192.0.2.1", READ, refused(1, 4))
    watch.seconds = 2.9
    assert remembered.find("192.0.2.1", READ) is not None
    watch.seconds = 3.0
    assert remembered.find("192.0.2.1", READ) is None
    assert "192.0.2.1" not in remembered


def test_what_is_over_within_a_second_is_not_remembered(remembered: Refusals) -> None:
    remembered.remember("192.0.2.1", READ, refused(1, 1))
    assert "192.0.2.1" not in remembered


def test_a_long_window_is_asked_for_again_soon(remembered: Refusals, watch: Watch) -> None:
    remembered.remember("192.0.2.1", LOGIN, refused(2, 3_600))
    watch.seconds = REMEMBERED_SECONDS_MAX
    assert remembered.find("192.0.2.1", LOGIN) is None


def test_neither_other_limits_nor_other_clients_are_concerned(remembered: Refusals) -> None:
    remembered.remember("192.0.2.1", READ, refused(1, 60))
    assert remembered.find("192.0.2.1", ORDERS) is None
    assert remembered.find("192.0.2.2", READ) is None


def test_a_used_up_account_says_nothing_about_its_address(remembered: Refusals) -> None:
    remembered.remember("192.0.2.1", READ, refused(2, 60))
    assert "192.0.2.1" not in remembered


def test_memory_is_bounded_and_the_oldest_leaves_first(remembered: Refusals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "CLIENTS_MAX", 3)
    for number in range(5):
        remembered.remember(f"192.0.2.{number}", READ, refused(1, 60))
    assert [f"192.0.2.{number}" in remembered for number in range(5)] == [False, False, True, True, True]
