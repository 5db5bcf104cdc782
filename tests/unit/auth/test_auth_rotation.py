"""A secret is replaced without throwing anybody out: what was signed under the old one holds until it is taken away."""

import shops

from service.auth.devices import Devices
from service.auth.models import BadRefreshToken, User
from service.auth.tokens import Tokens
from service.config import Config
from service.ids import Ids
from service.web.audit.chain import Entry, Link, Seal
from service.web.security.csrf import Csrf
from service.web.security.session_seal import SessionSeals

OLD, NEW = "an old secret of at least 32 bytes!!", "a new secret of at least 32 bytes!!!"
BEFORE, DURING, AFTER = Config(secret=OLD), Config(secret=f"{NEW}, {OLD}"), Config(secret=NEW)


def test_tokens_hold_through_a_rotation_and_end_with_the_old_secret() -> None:
    clock = shops.MovableClock()
    ids, user = Ids(clock), User("u1", "ada@example.com", "Ada", "customer", "", clock.now(), clock.now())
    old, during, after = (Tokens(clock, ids, config) for config in (BEFORE, DURING, AFTER))
    access, refresh = old.access(user, "s1"), old.refresh("s1", 3)
    assert during.read(access) is not None
    assert during.read_refresh(refresh) == ("s1", 3)
    assert after.read(during.access(user, "s1")) is not None, "the new secret signs"
    assert after.read(access) is None
    try:
        after.read_refresh(refresh)
    except BadRefreshToken:
        return
    raise AssertionError("a token of the old secret was taken")


def test_sessions_devices_and_forms_hold_through_a_rotation() -> None:
    clock = shops.MovableClock()
    ids = Ids(clock)
    seal = SessionSeals(BEFORE).seal("s1", "u1", "staff", 9)
    cookie = Devices(clock, ids, BEFORE).remember("", "ada")
    form = Csrf(BEFORE.keys("csrf"), ids, frozenset(), "csrf").issue("s1")
    for config, holds in ((DURING, True), (AFTER, False)):
        assert SessionSeals(config).hold("s1", "u1", "staff", seal) is holds
        assert bool(Devices(clock, ids, config).nonce(cookie, "ada")) is holds
        assert Csrf(config.keys("csrf"), ids, frozenset(), "csrf")._is_of(form, "s1") is holds


def test_the_audit_log_of_before_still_verifies() -> None:
    now = shops.MovableClock().now()
    entry = Entry("u1", "staff", "POST /x", "/x", "ok", 200, "127.0.0.1", "r1")
    document = Seal(*BEFORE.keys("audit log")).document("c", 1, entry, Link(), now, now)
    assert Seal(*DURING.keys("audit log")).holds(document)
    assert not Seal(*DURING.keys("audit log")).holds(document | {"outcome": "forbidden"})
    assert not Seal(*AFTER.keys("audit log")).holds(document)
