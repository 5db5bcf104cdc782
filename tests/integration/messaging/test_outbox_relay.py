"""The outbox relay on real MongoDB: every committed fact to every consumer, once at least, and never lost."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from shops import MovableClock, stock

from service.bootstrap import Shop
from service.config import Config
from service.events import BY_NAME, Event, MailRequested, OrderPaid, StockChanged
from service.infra.lasting_metrics import LastingMetrics
from service.infra.mongo.lease import Lease
from service.messaging.dead_letters import DeadLetters
from service.messaging.outbox import ALWAYS, Fact
from service.messaging.relay import Consumer, Relay

FACTS = Path(__file__).parent / "facts"


class Ear:
    """A consumer that remembers, and fails on what the test says."""

    def __init__(self, *fails_on: str) -> None:
        self.heard: list[Fact] = []
        self.fails_on = set(fails_on)

    async def __call__(self, facts: Sequence[Fact]) -> None:
        for fact in facts:
            if getattr(fact.event, "order_id", None) in self.fails_on:
                raise RuntimeError(f"cannot bear {fact.id}")
        self.heard += facts

    @property
    def orders(self) -> list[str]:
        return [fact.event.order_id for fact in self.heard if isinstance(fact.event, OrderPaid)]


def relay_to(shop: Shop, holder: str = "relay-1", config: Config | None = None, **consumers: Consumer) -> Relay:
    config, database = config or shop.config, shop.stores.database
    lease = Lease(database, "relay", holder, config.outbox_lease_seconds, shop.clock)
    letters = DeadLetters(database, shop.clock)
    return Relay(shop.outbox, lease, consumers, letters, LastingMetrics(database), replace(shop.runtime, config=config))


async def commit(shop: Shop, *facts: Event) -> None:
    await shop.transactions.run(lambda session: shop.outbox.add(facts, session))


async def test_a_committed_movement_is_relayed_to_every_consumer_once(shop: Shop) -> None:
    one, other = Ear(), Ear()
    relay = relay_to(shop, one=one, other=other)
    await stock(shop, TEA=7)
    assert await relay.relay() == 1
    assert await relay.relay() == 0
    [fact] = one.heard
    assert fact.event == StockChanged("TEA", 1, 0, 7, 5)
    assert other.heard == one.heard


async def test_what_was_rolled_back_is_not_relayed(shop: Shop) -> None:
    async def body(session: object) -> None:
        await shop.outbox.add([OrderPaid("o1", "u1")], session)
        raise KeyError("the transaction fails")

    with pytest.raises(KeyError):
        await shop.transactions.run(body)
    assert await relay_to(shop, ear=Ear()).relay() == 0


async def test_a_skus_facts_come_in_their_order(shop: Shop) -> None:
    ear = Ear()
    await stock(shop, TEA=1000, CUP=1000)
    for _ in range(40):
        await asyncio.gather(*(shop.inventory.adjust(sku, -1, "count", "staff") for sku in ("TEA", "CUP")))
    while await relay_to(shop, ear=ear).relay():
        pass
    for sku in ("TEA", "CUP"):
        seqs = [f.event.seq for f in ear.heard if isinstance(f.event, StockChanged) and f.event.sku == sku]
        assert seqs == sorted(seqs)
        assert seqs[-1] == 41


async def test_a_relay_that_dies_before_it_noted_anything_is_repeated_with_the_same_ids(shop: Shop) -> None:
    await commit(shop, OrderPaid("o1", "u1"), OrderPaid("o2", "u2"))
    dying, next_one = Ear(), Ear()

    async def dies(facts: Sequence[Fact]) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await relay_to(shop, first=dying, second=dies).relay()
    await relay_to(shop, first=next_one, second=Ear()).relay()
    assert [fact.id for fact in dying.heard] == [fact.id for fact in next_one.heard]


async def test_one_entry_a_consumer_cannot_bear_does_not_hold_up_the_others(shop: Shop, clock: MovableClock) -> None:
    picky, easy = Ear("o2"), Ear()
    relay = relay_to(shop, picky=picky, easy=easy)
    for n in range(1, 5):
        await commit(shop, OrderPaid(f"o{n}", "u1"))
    await relay.relay()
    assert (picky.orders, easy.orders) == (["o1", "o3", "o4"], ["o1", "o2", "o3", "o4"])
    picky.fails_on.clear()
    assert await relay.relay() == 0, "not at once"
    clock.advance(2)
    await relay.relay()
    assert (picky.orders, easy.orders) == (["o1", "o3", "o4", "o2"], ["o1", "o2", "o3", "o4"])


async def test_an_entry_that_is_never_taken_ends_as_a_dead_letter_and_can_be_replayed(
    shop: Shop, clock: MovableClock
) -> None:
    picky, easy = Ear("o1"), Ear()
    relay = relay_to(shop, picky=picky, easy=easy)
    letters = DeadLetters(shop.stores.database, clock)
    letters.on_replay("fact", shop.outbox.revive)
    await commit(shop, OrderPaid("o1", "u1"))
    for _ in range(shop.config.outbox_attempts_max):
        assert await relay.relay() == 1
        clock.advance(61)
    assert await relay.relay() == 0
    [letter] = await letters.newest(None, 10)
    assert (letter.kind, letter.about) == ("fact", "order_paid")
    assert letter.error.startswith("picky: RuntimeError: cannot bear")
    picky.fails_on.clear()
    await letters.replay(letter.id, "staff-1")
    await relay.relay()
    assert (picky.orders, easy.orders) == (["o1"], ["o1"])


MISSING_FIELD, WRONG_TYPE = (
    {"name": "order_paid", "order_id": "o9"},
    {"name": "order_paid", "order_id": 9, "user_id": "u"},
)
FROM_THE_FUTURE = {"name": "from_the_future", "order_id": "o9"}


@pytest.mark.parametrize(
    ("unreadable", "reason"),
    [
        (MISSING_FIELD, "missing required field `user_id`"),
        (WRONG_TYPE, "Expected `str`, got `int` - at `$.order_id`"),
        ({"order_id": "o9"}, "does not know the fact unreadable"),
        ({"name": 7}, "does not know the fact unreadable"),
        ("text", "does not know the fact unreadable"),
        (None, "does not know the fact unreadable"),
    ],
    ids=["a field is missing", "of another type", "no name", "a number for a name", "text", "nothing"],
)
async def test_a_fact_that_no_version_can_read_is_buried_alone_and_at_once(
    shop: Shop, clock: MovableClock, unreadable: object, reason: str
) -> None:
    await commit(shop, OrderPaid("o1", "u1"), OrderPaid("o2", "u1"), OrderPaid("o3", "u1"))
    await commit(shop, OrderPaid("o4", "u1"))
    await shop.stores.database["outbox"].update_one({"facts.2": {"$exists": True}}, {"$set": {"facts.1": unreadable}})
    one, other = Ear(), Ear()
    relay = relay_to(shop, one=one, other=other)
    assert await relay.step() == shop.config.outbox_poll_seconds
    assert one.orders == other.orders == ["o1", "o3", "o4"]
    [letter] = await DeadLetters(shop.stores.database, clock).newest(None, 10)
    assert (letter.kind, reason in letter.error) == ("fact", True)
    assert await shop.outbox.backlog() == (0, 0.0)


async def test_a_fact_that_was_buried_alone_is_replayed_alone_once_it_can_be_read(
    shop: Shop, clock: MovableClock
) -> None:
    await commit(shop, OrderPaid("o1", "u1"), OrderPaid("o2", "u1"))
    outbox = shop.stores.database["outbox"]
    await outbox.update_one({}, {"$unset": {"facts.1.user_id": ""}})
    ear = Ear()
    relay = relay_to(shop, ear=ear)
    await relay.relay()
    letters = DeadLetters(shop.stores.database, clock)
    letters.on_replay("fact", shop.outbox.revive)
    [letter] = await letters.newest(None, 10)
    await letters.replay(letter.id, "staff-1")
    await relay.relay()
    assert (await letters.find(letter.id)).replayed_at is None, "still not to be read: buried again"
    await outbox.update_one({"_id": letter.reference}, {"$set": {"facts.0.user_id": "u1"}})
    await letters.replay(letter.id, "staff-1")
    await relay.relay()
    assert ear.orders == ["o1", "o2"]


@pytest.mark.parametrize("facts", [None, "text", [], [None, 7]], ids=["none", "text", "empty", "nothing in it"])
async def test_an_entry_that_cannot_be_read_at_all_stops_nobody(shop: Shop, facts: object) -> None:
    await shop.stores.database["outbox"].insert_one({"_id": "0", "facts": facts, "waiting": True, "retryAt": ALWAYS})
    await commit(shop, OrderPaid("o1", "u1"))
    ear = Ear()
    await relay_to(shop, ear=ear).relay()
    assert ear.orders == ["o1"]
    assert (await shop.outbox.backlog())[0] == 0


async def test_a_fact_of_a_newer_version_waits_alone_for_that_versions_worker_and_is_a_dead_letter_then(
    shop: Shop, clock: MovableClock
) -> None:
    await commit(shop, OrderPaid("o1", "u1"), OrderPaid("o2", "u1"))
    await shop.stores.database["outbox"].update_one({}, {"$set": {"facts.1": FROM_THE_FUTURE}})
    ear, letters = Ear(), DeadLetters(shop.stores.database, clock)
    relay = relay_to(shop, config=replace(shop.config, outbox_attempts_max=2), ear=ear)
    await relay.relay()
    assert (ear.orders, await letters.newest(None, 10), (await shop.outbox.backlog())[0]) == (["o1"], [], 1)
    clock.advance(61)
    await relay.relay()
    [letter] = await letters.newest(None, 10)
    assert (letter.about, "from_the_future" in letter.error) == ("from_the_future", True)
    assert ear.orders == ["o1"]


@pytest.mark.parametrize("release", ["0.1.0", "unreleased"])
async def test_what_every_release_has_written_is_read(shop: Shop, release: str) -> None:
    written = written_by(release)
    await shop.stores.database["outbox"].insert_one(
        {"_id": "0", "createdAt": shop.clock.now(), "facts": written, "waiting": True, "retryAt": ALWAYS}
    )
    ear = Ear()
    await relay_to(shop, ear=ear).relay()
    read = [fact.event.document() for fact in ear.heard]
    assert [
        {name: fact[name] for name in as_written} for fact, as_written in zip(read, written, strict=True)
    ] == written


def written_by(release: str) -> list[dict[str, Any]]:
    facts: list[dict[str, Any]] = json.loads((FACTS / f"{release}.json").read_text())
    return facts


def test_the_newest_golden_file_has_every_fact_with_every_field() -> None:
    written = {fact["name"]: set(fact) for fact in written_by("unreleased")}
    assert written == {name: {"name", *kind.__struct_fields__} for name, kind in BY_NAME.items()}


async def test_one_relay_works_while_the_others_stand_by(shop: Shop, clock: MovableClock) -> None:
    ears = [Ear() for _ in range(3)]
    relays = [relay_to(shop, f"relay-{n}", ear=ear) for n, ear in enumerate(ears)]
    await commit(shop, OrderPaid("o1", "u1"))
    pauses = await asyncio.gather(*(relay.step() for relay in relays))
    assert sorted(len(ear.heard) for ear in ears) == [0, 0, 1]
    worker = pauses.index(min(pauses))
    await relays[worker].stop()
    await commit(shop, OrderPaid("o2", "u1"))
    await relays[worker - 1].step()
    assert ears[worker - 1].orders == ["o2"]


async def test_a_dead_relay_is_replaced_when_its_lease_has_run_out(shop: Shop, clock: MovableClock) -> None:
    heir = Ear()
    await relay_to(shop, "dead", ear=Ear()).step()
    await commit(shop, OrderPaid("o1", "u1"))
    standby = relay_to(shop, "heir", ear=heir)
    await standby.step()
    assert heir.heard == []
    clock.advance(shop.config.outbox_lease_seconds + 1)
    await standby.step()
    assert heir.orders == ["o1"]


async def test_what_a_mail_carried_is_not_kept_in_the_outbox(shop: Shop) -> None:
    await commit(
        shop, MailRequested("k", "ada@example.com", "password_reset", {"ticket": "secret"}), OrderPaid("o", "u")
    )
    await relay_to(shop, ear=Ear()).relay()
    entry = await shop.stores.database["outbox"].find_one({})
    assert entry["facts"][0]["values"] == {}
    assert entry["facts"][1] == {"name": "order_paid", "order_id": "o", "user_id": "u"}


async def test_the_backlog_says_how_many_wait_and_for_how_long(shop: Shop, clock: MovableClock) -> None:
    assert await shop.outbox.backlog() == (0, 0.0)
    for _ in range(3):
        await commit(shop, OrderPaid("o1", "u1"))
    clock.advance(90)
    count, age_seconds = await shop.outbox.backlog()
    assert (count, round(age_seconds)) == (3, 90)


@pytest.mark.parametrize("kind", BY_NAME.values())
def test_every_kind_of_fact_is_known_by_its_name(kind: type[Event]) -> None:
    assert BY_NAME[kind.name] is kind
