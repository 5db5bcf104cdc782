"""bcrypt behind a keyed hash: no password is cut off, and an unknown user costs what a known one costs."""

import asyncio
import time

import bcrypt
import pytest

from service.auth.passwords import Passwords
from service.config import Config
from service.errors import Unavailable

FAST = Config(bcrypt_rounds=4)


async def test_a_password_matches_itself_and_nothing_else() -> None:
    passwords = Passwords(FAST)
    hashed = await passwords.hash("correct horse")
    assert hashed.startswith("$2b$04$")
    assert await passwords.matches("correct horse", hashed)
    for other in ("correct hors", "correct horse ", "Correct horse", "", "\0"):
        assert not await passwords.matches(other, hashed)


async def test_passwords_beyond_bcrypts_72_bytes_still_differ() -> None:
    passwords = Passwords(FAST)
    long = "é" * 100
    hashed = await passwords.hash(long + "a")
    assert await passwords.matches(long + "a", hashed)
    assert not await passwords.matches(long + "b", hashed)


async def test_a_nul_in_a_password_cuts_nothing_off() -> None:
    passwords = Passwords(FAST)
    assert not await passwords.matches("safe\0other", await passwords.hash("safe\0word"))


async def test_a_stolen_hash_is_worth_nothing_without_the_pepper() -> None:
    hashed = await Passwords(FAST).hash("correct horse")
    assert not bcrypt.checkpw(b"correct horse", hashed.encode())
    other = Passwords(Config(bcrypt_rounds=4, secret="another secret of at least 32 bytes!"))
    assert not await other.matches("correct horse", hashed)


async def test_an_unknown_user_takes_as_long_as_a_wrong_password() -> None:
    passwords = Passwords(Config(bcrypt_rounds=9, bcrypt_threads=1))
    hashed = await passwords.hash("correct horse")
    await passwords.matches("warm up", None)

    async def seconds(stored: str | None) -> float:
        times = []
        for _ in range(7):
            before = time.process_time()
            await passwords.matches("a guess", stored)
            times.append(time.process_time() - before)
        return min(times)

    known, unknown = await seconds(hashed), await seconds(None)
    assert unknown == pytest.approx(known, rel=0.35)


async def test_hashing_leaves_the_event_loop_free() -> None:
    passwords = Passwords(Config(bcrypt_rounds=10))
    hashing = asyncio.create_task(passwords.hash("correct horse"))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 10


async def test_more_logins_than_can_wait_are_turned_away() -> None:
    passwords = Passwords(Config(bcrypt_rounds=8, passwords_waiting_max=4, bcrypt_threads=1))
    outcomes = await asyncio.gather(*(passwords.hash("x" * 8) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(outcome, Unavailable) for outcome in outcomes) == 6
