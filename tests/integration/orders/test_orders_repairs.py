"""Planted damage is repaired by movements: the audit is clean afterwards, and a second repair finds nothing to do."""

from datetime import timedelta
from typing import Any

import pytest
import shops
from test_orders_audit import (
    Damage,
    a_cancelled_order_holds_stock,
    a_hold_is_forgotten,
    a_hold_is_never_swept,
    a_line_is_sold_without_stock,
    a_sku_has_only_a_history,
    a_unit_appears,
    an_entry_of_the_history_is_lost,
    it_was_oversold_until_goods_came_in,
    more_is_available_than_there_is,
)

from service import commands
from service.bootstrap import Shop
from service.infra.mongo.client import Database
from service.inventory.models import Line, Posting, Release, StateMoved
from service.orders.repairs import Repairs, beyond_repair

ACTOR = "cli:somebody"


def repairs_of(shop: Shop) -> Repairs:
    return Repairs(shop.stores.client, shop.stores.database, shop.ledger, shop.expiry, shop.clock, ACTOR)


async def units_vanish(database: Database, shop: Shop) -> None:
    await database["inventory"].update_one({"_id": "A"}, {"$inc": {"onHand": -2, "available": -2}})


async def the_reserved_counter_is_off(database: Database, shop: Shop) -> None:
    await database["inventory"].update_one({"_id": "A"}, {"$inc": {"reserved": 2, "available": -2}})


async def the_reserved_counter_is_below_what_is_held(database: Database, shop: Shop) -> None:
    await database["inventory"].update_one({"_id": "A"}, {"$set": {"reserved": 0}})


async def the_stock_is_behind_its_history(database: Database, shop: Shop) -> None:
    await database["inventory"].update_one({"_id": "A"}, {"$inc": {"seq": -1}})


async def a_hold_without_an_order(database: Database, shop: Shop) -> None:
    """For more than there is on hand, and counted nowhere."""
    now = shop.clock.now()
    times = {"expiresAt": now + timedelta(hours=1), "createdAt": now, "resolvedAt": None}
    made_up = {"orderId": "ghost", "userId": "u9", "quantity": 99, "status": "active", **times}
    await database["reservations"].insert_many([{**made_up, "_id": "ghost:0", "sku": "A"}])


async def an_order_is_deleted_that_holds_stock(database: Database, shop: Shop) -> None:
    await database["orders"].delete_one({"status": "pending"})


async def a_paid_orders_hold_was_never_sold(database: Database, shop: Shop) -> None:
    await database["orders"].update_one({"status": "pending"}, {"$set": {"status": "paid", "total": 0}})


LEFT = {  # what else the damage did, which is no movement's to mend
    a_paid_orders_hold_was_never_sold: {"no_order_is_sold_without_money"},
    a_hold_is_forgotten: {"an_active_reservation_is_backed_by_holds"},
    a_hold_is_never_swept: {"an_active_reservation_is_backed_by_holds"},
}
REPAIRED: list[Damage] = [
    a_unit_appears,
    units_vanish,
    a_hold_is_forgotten,
    the_reserved_counter_is_off,
    the_reserved_counter_is_below_what_is_held,
    the_stock_is_behind_its_history,
    more_is_available_than_there_is,
    a_cancelled_order_holds_stock,
    a_hold_without_an_order,
    an_order_is_deleted_that_holds_stock,
    a_paid_orders_hold_was_never_sold,
    a_hold_is_never_swept,
]


async def everything(shop: Shop) -> dict[str, Any]:
    database = shop.stores.database
    names = await database.list_collection_names()
    return {name: await database[name].find().sort("_id", 1).to_list(None) for name in sorted(names)}


@pytest.mark.parametrize("damage", REPAIRED, ids=[damage.__name__ for damage in REPAIRED])
async def test_it_is_shown_then_repaired_by_movements_and_then_nothing_is_left(shop: Shop, damage: Damage) -> None:
    await shops.stock(shop, A=10)
    await shops.pay(shop, await shops.buy(shop, A=2))
    await shops.buy(shop, user="u2", A=3)
    await damage(shop.stores.database, shop)
    shop.ledger.forget()
    assert await shops.violations(shop) != {}
    before, history = await everything(shop), await shop.inventory.history("A", None, 100)
    steps = [step.does for step in await repairs_of(shop).plan()]
    assert steps
    assert await everything(shop) == before  # showing changes nothing
    assert await repairs_of(shop).run() == steps
    assert (await shops.violations(shop)).keys() <= LEFT.get(damage, set())
    after = await shop.inventory.history("A", None, 100)
    assert after[-len(history) :] == history  # never rewritten
    assert len(after) > len(history)
    assert {entry.reason for entry in after[: -len(history)]} <= {"audit repair", "expired"}
    assert await repairs_of(shop).run() == []


BEYOND: list[tuple[Damage, str]] = [
    (a_sku_has_only_a_history, "on_hand_is_the_sum_of_history"),
    (it_was_oversold_until_goods_came_in, "available_is_never_negative"),
    (an_entry_of_the_history_is_lost, "history_has_no_gaps"),
    (a_line_is_sold_without_stock, "sold_orders_have_exactly_their_stock"),
]


@pytest.mark.parametrize(("damage", "check"), BEYOND, ids=[damage.__name__ for damage, _ in BEYOND])
async def test_what_no_movement_mends_is_said_and_left_alone(shop: Shop, damage: Damage, check: str) -> None:
    await shops.stock(shop, A=10)
    await shops.pay(shop, await shops.buy(shop, A=2))
    await shops.buy(shop, user="u2", A=3)
    await damage(shop.stores.database, shop)
    shop.ledger.forget()
    await repairs_of(shop).run()
    left = beyond_repair((await shops.audit(shop))["checks"])
    assert check in {each["check"] for each in left}
    assert all(each["why"] for each in left)
    assert await repairs_of(shop).run() == []


async def test_more_held_by_orders_that_stand_than_there_is_on_hand_is_left_to_people(shop: Shop) -> None:
    await shops.stock(shop, A=10, B=10)
    await shops.buy(shop, user="u2", A=8)
    await shop.stores.database["inventory"].update_one({"_id": "A"}, {"$set": {"onHand": 5, "reserved": 0}})
    await shop.stores.database["inventory"].update_one({"_id": "B"}, {"$inc": {"onHand": 1, "available": 1}})
    shop.ledger.forget()
    assert [step.partition(":")[0] for step in await repairs_of(shop).run()] == ["correct B"]
    left = beyond_repair((await shops.audit(shop))["checks"])
    assert (
        "More is held than is on hand"
        in {each["check"]: each["why"] for each in left}["reserved_is_the_sum_of_active_holds"]
    )


async def test_a_sale_between_plan_and_repair_is_never_undone(shop: Shop) -> None:
    await shops.stock(shop, A=10)
    await a_unit_appears(shop.stores.database, shop)
    shop.ledger.forget()
    (step,) = await repairs_of(shop).plan()
    await shops.buy(shop, A=1)
    assert step.posting is not None
    with pytest.raises(StateMoved):
        await shop.ledger.post(step.posting)
    assert len(await repairs_of(shop).run()) == 1
    assert await shops.violations(shop) == {}


async def test_a_hold_that_ends_before_it_is_repaired_is_left_as_it_is(shop: Shop) -> None:
    await shops.stock(shop, A=10)
    order = await shops.buy(shop, A=3)
    await an_order_is_deleted_that_holds_stock(shop.stores.database, shop)
    (step,) = await repairs_of(shop).plan()
    await shop.ledger.post(Posting(Release(order.id), "somebody"))
    assert step.posting is not None
    with pytest.raises(StateMoved):
        await shop.ledger.post(step.posting)
    assert await shops.violations(shop) == {}


async def test_the_command_says_what_it_would_do_does_it_and_says_it_is_well(shop: Shop) -> None:
    await shops.stock(shop, A=10)
    await a_unit_appears(shop.stores.database, shop)
    shop.ledger.forget()
    shown = await commands.repaired(dry_run=True)(shop)
    assert (shown["ok"], shown["dryRun"], len(shown["repairs"]), shown["beyondRepair"]) == (False, True, 1, [])
    done = await commands.repaired(dry_run=False)(shop)
    assert (done["ok"], done["repairs"], done["beyondRepair"]) == (True, shown["repairs"], [])
    assert (await commands.repaired(dry_run=False)(shop))["repairs"] == []
    assert (await shop.inventory.get("A")).on_hand == 11
    await shop.inventory.receive([Line("A", 1)], "somebody")
    assert await shops.violations(shop) == {}
