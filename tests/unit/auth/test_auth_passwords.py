"""bcrypt behind a keyed hash: no password is cut off, and an unknown user costs what a known one costs."""

import asyncio
import base64
import hmac
import time

import bcrypt
import pytest

from service.auth.models import WeakPassword
from service.auth.passwords import Match, Passwords
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
    assert sum(isinstance(outcome, Unavailable) for outcome in outcomes) == 5  # one is at work, four wait


async def test_the_same_letters_typed_as_other_bytes_are_the_same_password() -> None:
    passwords = Passwords(FAST)
    composed, decomposed = "caf\u00e9 au lait", "cafe\u0301 au lait"
    for first, second in ((composed, decomposed), (decomposed, composed), ("\ud55c\uae00" * 4, "한글" * 4)):
        assert await passwords.matches(second, await passwords.hash(first))


async def test_what_was_hashed_as_it_was_typed_still_matches_and_is_known_to_be_old() -> None:
    passwords, typed = Passwords(FAST), "cafe\u0301 au lait"
    before = base64.b64encode(hmac.digest(FAST.key("password pepper"), typed.encode(), "sha384"))
    old = bcrypt.hashpw(before, bcrypt.gensalt(4)).decode()
    assert await passwords.check(typed, old) == Match(ok=True, current=False)
    assert await passwords.check(typed, await passwords.hash(typed)) == Match(ok=True, current=True)
    assert not await passwords.matches("cafe au lait", old)


async def test_a_password_hashed_under_the_secret_before_still_matches() -> None:
    old, new = "an old secret of at least 32 bytes!!", "a new secret of at least 32 bytes!!!"
    hashed = await Passwords(Config(bcrypt_rounds=4, secret=old)).hash("correct horse")
    rotated = Passwords(Config(bcrypt_rounds=4, secret=f"{new}, {old}"))
    assert await rotated.check("correct horse", hashed) == Match(ok=True, current=False)
    assert not await rotated.matches("another horse", hashed)
    assert not await Passwords(Config(bcrypt_rounds=4, secret=new)).matches("correct horse", hashed)


COMMON = [
    "password",
    "PASSWORD",
    "Password1",
    "password123",
    "12345678",
    "qwertyuiop",
    "iloveyou",
    "P@ssw0rd",
    "letmein1",
]
OF_THE_ACCOUNT = ["ada@example.com", "adalovelace", "Lovelace1", "ADALOVELACE"]
WITHOUT_VARIETY = ["aaaaaaaaaaaa", "abababababab", "abcdefgh", "passwordpassword", "x" * 200]


@pytest.mark.parametrize("password", [*COMMON, *OF_THE_ACCOUNT, *WITHOUT_VARIETY, "e\u0301" * 7])
async def test_a_password_that_is_tried_first_is_refused(password: str) -> None:
    with pytest.raises(WeakPassword):
        await Passwords(FAST).new(password, "ada@example.com", "Ada Lovelace")


@pytest.mark.parametrize(
    "password", ["correct horse battery", "Zug um Zug 1887", "пароль для магазина", "x" * 40 + "!7Rk-qW2"]
)
async def test_a_password_worth_having_is_taken(password: str) -> None:
    passwords = Passwords(FAST)
    assert await passwords.matches(password, await passwords.new(password, "ada@example.com", "Ada Lovelace"))
