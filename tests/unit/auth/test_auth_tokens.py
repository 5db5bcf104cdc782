"""Access and refresh tokens: only what this service issued, unchanged and in its time, is read.

HOLDFAST_FUZZ_TOKENS sets how many forged tokens are tried; `make judge-tokens` tries 100,000."""

import itertools
import os
import random

import jwt
import pytest
import shops
from token_fuzz import Forger

from service.auth.models import BadRefreshToken, User
from service.auth.tokens import Tokens
from service.config import Config
from service.ids import Ids

CONFIG = Config(tokens_remembered_max=100)
FORGED_TOKENS = int(os.environ.get("HOLDFAST_FUZZ_TOKENS", "3000"))


@pytest.fixture
def clock() -> shops.MovableClock:
    return shops.MovableClock()


@pytest.fixture
def tokens(clock: shops.MovableClock) -> Tokens:
    return Tokens(clock, Ids(clock), CONFIG)


def user(clock: shops.MovableClock, user_id: str = "u1") -> User:
    return User(user_id, "ada@example.com", "Ada", "customer", "", clock.now(), clock.now())


def test_an_access_token_names_its_user_and_its_session(tokens: Tokens, clock: shops.MovableClock) -> None:
    claims = tokens.read(tokens.access(user(clock), "s1"))
    assert claims is not None
    assert (claims.user_id, claims.session_id) == ("u1", "s1")


def test_a_token_is_good_until_it_expires_also_once_it_is_remembered(tokens: Tokens, clock: shops.MovableClock) -> None:
    token = tokens.access(user(clock), "s1")
    assert tokens.read(token)
    clock.advance(CONFIG.access_token_ttl_seconds - 1)
    assert tokens.read(token)
    clock.advance(2)
    assert tokens.read(token) is None
    assert tokens.read(token) is None


def test_remembered_tokens_take_bounded_memory(tokens: Tokens, clock: shops.MovableClock) -> None:
    for _ in range(300):
        assert tokens.read(tokens.access(user(clock), "s1"))
    assert len(tokens._known) == CONFIG.tokens_remembered_max


def test_nothing_forged_is_remembered(tokens: Tokens, clock: shops.MovableClock) -> None:
    good = tokens.access(user(clock), "s1")
    for forged in itertools.islice(Forger(good, CONFIG.key("access token"), random.Random(1)), 300):
        tokens.read(forged)
    assert tokens._known == {}


def test_another_shops_tokens_are_not_read(tokens: Tokens, clock: shops.MovableClock) -> None:
    other = Tokens(clock, Ids(clock), Config(secret="another secret of at least 32 bytes!"))
    assert tokens.read(other.access(user(clock), "s1")) is None


def test_a_refresh_token_is_no_access_token_and_the_other_way_round(tokens: Tokens, clock: shops.MovableClock) -> None:
    assert tokens.read(tokens.refresh("s1", 1)) is None
    with pytest.raises(BadRefreshToken):
        tokens.read_refresh(tokens.access(user(clock), "s1"))


def test_a_token_signed_for_another_purpose_is_not_read(tokens: Tokens, clock: shops.MovableClock) -> None:
    good = jwt.decode(tokens.access(user(clock), "s1"), options={"verify_signature": False})
    for purpose in ("refresh token", "csrf", "mail token"):
        forged = jwt.encode(good, CONFIG.key(purpose), "HS256", headers={"typ": "at+jwt"})
        assert tokens.read(forged) is None


def test_of_all_forged_tokens_none_is_accepted(tokens: Tokens, clock: shops.MovableClock) -> None:
    good = tokens.access(user(clock), "s1")
    forger = Forger(good, CONFIG.key("access token"), random.Random(20_260_501))
    accepted = [forged for forged in itertools.islice(forger, FORGED_TOKENS) if tokens.read(forged) is not None]
    assert accepted == []
    assert tokens.read(good)


def test_no_generation_of_a_refresh_token_is_guessed_from_another(tokens: Tokens) -> None:
    session, generation, mac = tokens.refresh("s1", 1).split(".")
    assert tokens.read_refresh(f"{session}.{generation}.{mac}") == ("s1", 1)
    forged = [f"s1.2.{mac}", f"s2.1.{mac}", f"s1.01.{mac}", f"s1.1.{mac}=", f"s1.1.{mac[:-1]}", "s1.1.", "s1", ""]
    for token in forged:
        with pytest.raises(BadRefreshToken):
            tokens.read_refresh(token)
