"""Device cookies: only what this service gave to this account, and not for ever."""

import shops

from service.auth.devices import Devices
from service.config import Config
from service.ids import Ids


def devices(clock: shops.MovableClock, **settings: str) -> Devices:
    return Devices(clock, Ids(clock), Config(**settings))  # type: ignore[arg-type]


def test_a_device_is_known_to_the_account_that_logged_in_there_and_to_no_other() -> None:
    known = devices(shops.MovableClock())
    cookie = known.remember("", "ada")
    assert known.nonce(cookie, "ada")
    assert known.nonce(cookie, "bob") == ""


def test_a_shared_device_remembers_the_last_five_accounts() -> None:
    known, cookie = devices(shops.MovableClock()), ""
    for account in "abcdef":
        cookie = known.remember(cookie, account)
    assert [bool(known.nonce(cookie, account)) for account in "abcdef"] == [False] + [True] * 5
    assert len(cookie) < 1_000


def test_each_login_gives_a_new_entry() -> None:
    known = devices(shops.MovableClock())
    cookie = known.remember("", "ada")
    again = known.remember(cookie, "ada")
    assert known.nonce(again, "ada") != known.nonce(cookie, "ada")
    assert again.count("~") == 0


def test_what_was_forged_or_changed_is_not_known() -> None:
    clock = shops.MovableClock()
    known = devices(clock)
    issued, nonce, mac = known.remember("", "ada").split(".")
    other = devices(clock, secret="another secret of at least 32 bytes!").remember("", "ada")
    later = f"{int(issued, 16) + 1:x}"
    forged = [
        "",
        "~",
        "...",
        "garbage",
        other,
        f"{later}.{nonce}.{mac}",
        f"{issued}.{nonce[::-1]}.{mac}",
        "é" * 99,
        "~" * 5_000,
    ]
    assert [known.nonce(cookie, "ada") for cookie in forged] == [""] * len(forged)


def test_a_device_is_forgotten_after_its_time() -> None:
    clock = shops.MovableClock()
    known = devices(clock)
    cookie = known.remember("", "ada")
    clock.advance(Config().device_cookie_ttl_seconds + 1)
    assert known.nonce(cookie, "ada") == ""
