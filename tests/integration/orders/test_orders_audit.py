"""The audit sees each kind of damage: a book that cannot be found wrong proves nothing."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
import shops

from service.bootstrap import Shop
from service.infra.mongo.client import Database
from service.inventory.models import Line
from service.orders.models import CouponKind
from service.orders.return_models import ReturnLine, ReturnStatus

Damage = Callable[[Database, Shop], Awaitable[object]]


async def _set(database: Database, collection: str, which: dict[str, object], **values: object) -> None:
    changed = await database[collection].update_one(which, {"$set": values})
    assert changed.modified_count == 1


async def a_unit_appears(database: Database, shop: Shop) -> None:
    await _set(database, "inventory", {"_id": "A"}, onHand=11, available=8)


async def a_sku_has_only_a_history(database: Database, shop: Shop) -> None:
    await database["inventory"].delete_one({"_id": "A"})


async def a_hold_is_forgotten(database: Database, shop: Shop) -> None:
    await database["reservations"].delete_many({"sku": "A", "status": "active"})


async def more_is_available_than_there_is(database: Database, shop: Shop) -> None:
    await _set(database, "inventory", {"_id": "A"}, available=9)


async def it_was_oversold_until_goods_came_in(database: Database, shop: Shop) -> None:
    last = await database["stock_history"].find_one({"sku": "A"}, sort=[("seq", -1)])
    await _set(database, "stock_history", {"_id": last["_id"]}, reserved=last["onHand"] + 1)


async def an_entry_of_the_history_is_lost(database: Database, shop: Shop) -> None:
    await database["stock_history"].delete_one({"sku": "A", "kind": "reserve"})


async def a_cancelled_order_holds_stock(database: Database, shop: Shop) -> None:
    await _set(database, "orders", {"status": "pending"}, status="cancelled")


async def a_line_is_sold_without_stock(database: Database, shop: Shop) -> None:
    order = await database["orders"].find_one({"status": "paid"})
    await database["reservations"].delete_one({"orderId": order["_id"], "status": "confirmed"})


async def stock_is_sold_to_an_unpaid_order(database: Database, shop: Shop) -> None:
    await _set(database, "orders", {"status": "paid"}, status="cancelled")


async def a_running_hold_was_freed(database: Database, shop: Shop) -> None:
    await _set(database, "reservations", {"sku": "A", "status": "active"}, status="released")


async def a_hold_is_never_swept(database: Database, shop: Shop) -> None:
    long_ago = shop.clock.now() - timedelta(hours=1)
    await _set(database, "reservations", {"sku": "A", "status": "active"}, expiresAt=long_ago)


async def the_provider_keeps_more(database: Database, shop: Shop) -> None:
    await database["gateway_charges"].update_one({"status": "paid"}, {"$inc": {"amount": 1}})


async def the_provider_got_nothing(database: Database, shop: Shop) -> None:
    await _set(database, "gateway_charges", {"status": "paid"}, status="declined")


async def a_coupons_use_is_made_up(database: Database, shop: Shop) -> None:
    await shop.coupons.create("SPRING", CouponKind.PERCENTAGE, 10)
    await _set(database, "coupons", {"_id": "SPRING"}, used=1)


async def an_account_is_not_there(database: Database, shop: Shop) -> None:
    await database["users"].insert_one({"_id": "1" * 28, "email": "ada@example.com"})
    await _set(database, "orders", {"status": "paid"}, userId="0" * 28)


async def _returned(shop: Shop) -> str:
    order = await shops.pay(shop, await shops.buy(shop, user="u3", A=2))
    await shop.orders.ship(order.id, "staff")
    _, one = await shop.returns.request(order.id, [Line("A", 2)], "", "u3")
    await shop.returns.move(order.id, one, ReturnStatus.RECEIVED, "staff")
    found = [ReturnLine("A", 0, restocked=2)]
    await shop.returns.move(order.id, one, ReturnStatus.INSPECTED, "staff", found=found)
    await shop.returns.move(order.id, one, ReturnStatus.CLOSED, "staff")
    assert await shops.violations(shop) == {}
    return order.id


async def a_return_grows(database: Database, shop: Shop) -> None:
    await _set(database, "orders", {"_id": await _returned(shop)}, **{"returns.0.lines.0.quantity": 3})


async def a_return_restocked_what_nobody_saw(database: Database, shop: Shop) -> None:
    await _set(database, "orders", {"_id": await _returned(shop)}, **{"returns.0.lines.0.restocked": 1})


async def stock_came_by_a_return_that_is_not_there(database: Database, shop: Shop) -> None:
    await _set(database, "orders", {"_id": await _returned(shop)}, returns=[])


SEEN: list[tuple[Damage, str]] = [
    (a_unit_appears, "on_hand_is_the_sum_of_history"),
    (a_sku_has_only_a_history, "on_hand_is_the_sum_of_history"),
    (a_hold_is_forgotten, "reserved_is_the_sum_of_active_holds"),
    (more_is_available_than_there_is, "available_is_never_negative"),
    (it_was_oversold_until_goods_came_in, "available_is_never_negative"),
    (an_entry_of_the_history_is_lost, "history_has_no_gaps"),
    (a_cancelled_order_holds_stock, "only_pending_orders_hold_stock"),
    (a_line_is_sold_without_stock, "sold_orders_have_exactly_their_stock"),
    (stock_is_sold_to_an_unpaid_order, "stock_is_sold_to_paid_orders_only"),
    (a_running_hold_was_freed, "an_active_reservation_is_backed_by_holds"),
    (a_hold_is_never_swept, "no_hold_outlives_its_sweep"),
    (the_provider_keeps_more, "no_money_is_kept_without_an_order"),
    (the_provider_got_nothing, "no_order_is_sold_without_money"),
    (a_coupons_use_is_made_up, "coupons_are_used_by_the_orders_that_stand"),
    (an_account_is_not_there, "orders_belong_to_accounts"),
    (a_return_grows, "no_more_comes_back_than_was_sold"),
    (a_return_restocked_what_nobody_saw, "returns_agree_with_the_history"),
    (stock_came_by_a_return_that_is_not_there, "returns_agree_with_the_history"),
]


@pytest.mark.parametrize(("damage", "check"), SEEN, ids=[damage.__name__ for damage, _ in SEEN])
async def test_the_audit_sees_that(shop: Shop, damage: Damage, check: str):
    await shops.stock(shop, A=10)
    await shops.pay(shop, await shops.buy(shop, A=2))
    await shops.buy(shop, user="u2", A=3)
    assert await shops.violations(shop) == {}
    await damage(shop.stores.database, shop)
    assert check in await shops.violations(shop)


async def test_every_check_is_seen_to_fail(shop: Shop):
    await shops.stock(shop, A=1)
    await shops.pay(shop, await shops.buy(shop, A=1))
    report = await shops.audit(shop)
    assert {check["name"] for check in report["checks"]} == {check for _, check in SEEN}
