"""/api/inventory over HTTP on the real stores."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from app_client import served

from service.bootstrap import Shop
from service.inventory.models import Line, Posting, Reserve
from service.inventory.repository import InventoryRepository
from service.inventory.routes import routes
from service.inventory.usecases import Inventory

A_MINUTE_KEY = {"Idempotency-Key": "delivery-1"}


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[aiohttp.ClientSession]:
    async with served([routes(shop.inventory, shop.clock, shop.config)]) as opened:
        yield opened


async def stock(shop: Shop, **on_hand: int) -> None:
    repository = InventoryRepository(shop.stores.database)
    for sku in on_hand:
        await repository.create(sku, f"product-{sku}", 5, shop.clock.now())
    await shop.inventory.receive([Line(sku, quantity) for sku, quantity in on_hand.items() if quantity], "test")


async def hold(shop: Shop, sku: str, quantity: int) -> None:
    order_id = shop.ids.new()
    reserve = Reserve(order_id, "buyer", (Line(sku, quantity),), shop.clock.now())
    await shop.ledger.post(Posting(reserve, "buyer", order_id=order_id))


async def ask(client: aiohttp.ClientSession, method: str, path: str, **given: Any) -> tuple[int, Any]:
    async with client.request(method, f"/api/inventory{path}", **given) as response:
        return response.status, await response.json()


async def test_availability_says_what_to_offer_for_each_known_sku(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, PLENTY=50, FEW=3, GONE=0)
    status, body = await ask(client, "GET", "/availability?sku=PLENTY&sku=FEW&sku=GONE&sku=NEVER&sku=FEW")
    assert status == 200
    assert body == {
        "items": [
            {"sku": "PLENTY", "available": 50, "inStock": True, "lowStock": False, "action": "add_to_cart"},
            {"sku": "FEW", "available": 3, "inStock": True, "lowStock": True, "action": "add_to_cart"},
            {"sku": "GONE", "available": 0, "inStock": False, "lowStock": True, "action": "notify_me"},
        ]
    }


@pytest.mark.parametrize("query", ["", "?sku=", "?sku=a%20b", "?" + "&".join(f"sku=s{n}" for n in range(101))])
async def test_availability_refuses_no_sku_a_bad_sku_and_too_many(client: aiohttp.ClientSession, query: str) -> None:
    status, body = await ask(client, "GET", f"/availability{query}")
    assert (status, body["code"]) == (422, "invalid")


async def test_one_sku_shows_its_stock_and_a_version_that_grows(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, TEA=10)
    await hold(shop, "TEA", 4)
    status, body = await ask(client, "GET", "/TEA")
    assert status == 200
    assert body == {
        "sku": "TEA",
        "productId": "product-TEA",
        "onHand": 10,
        "reserved": 4,
        "available": 6,
        "lowStockThreshold": 5,
        "version": 2,
        "onSale": True,
    }


async def test_an_unknown_sku_is_not_found_by_any_route(client: aiohttp.ClientSession) -> None:
    answers = [
        await ask(client, "GET", "/NOPE"),
        await ask(client, "GET", "/NOPE/history"),
        await ask(client, "POST", "/NOPE/adjust", json={"delta": 1, "reason": "count"}),
        await ask(client, "PUT", "/NOPE/threshold", json={"lowStockThreshold": 1}),
        await ask(client, "POST", "/receive", json={"lines": [{"sku": "NOPE", "quantity": 1}]}),
    ]
    assert [(status, body["code"]) for status, body in answers] == [(404, "unknown_sku")] * 5


async def test_an_adjustment_never_goes_below_what_is_reserved(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, TEA=10)
    await hold(shop, "TEA", 4)
    status, body = await ask(client, "POST", "/TEA/adjust", json={"delta": -7, "reason": "broken"})
    assert (status, body["code"], body["reserved"]) == (409, "below_reserved", 4)
    status, body = await ask(client, "POST", "/TEA/adjust", json={"delta": -6, "reason": "broken"})
    assert (status, body["onHand"], body["available"]) == (200, 4, 0)


@pytest.mark.parametrize(
    "body",
    [
        {"delta": 0, "reason": "none"},
        {"delta": 1},
        {"delta": 1, "reason": ""},
        {"delta": 1.5, "reason": "half"},
        {"delta": 10**12, "reason": "all of it"},
        {"delta": 1, "reason": "x", "actor": "someone else"},
    ],
)
async def test_an_adjustment_says_what_is_wrong_with_it(
    shop: Shop, client: aiohttp.ClientSession, body: dict[str, Any]
) -> None:
    await stock(shop, TEA=10)
    status, answer = await ask(client, "POST", "/TEA/adjust", json=body)
    assert (status, answer["code"]) == (422, "invalid")


async def test_goods_come_in_all_lines_or_none(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, TEA=1, CUP=1)
    lines = [{"sku": "TEA", "quantity": 5}, {"sku": "NOPE", "quantity": 5}]
    assert (await ask(client, "POST", "/receive", json={"lines": lines}))[0] == 404
    assert (await shop.inventory.get("TEA")).on_hand == 1
    lines = [{"sku": "TEA", "quantity": 5}, {"sku": "CUP", "quantity": 2}, {"sku": "TEA", "quantity": 1}]
    status, body = await ask(client, "POST", "/receive", json={"lines": lines})
    assert status == 200
    assert [(item["sku"], item["onHand"]) for item in body["items"]] == [("TEA", 7), ("CUP", 3)]


async def test_the_same_delivery_sent_twice_counts_once_and_is_answered_the_same(
    shop: Shop, client: aiohttp.ClientSession
) -> None:
    await stock(shop, TEA=1)
    lines = {"lines": [{"sku": "TEA", "quantity": 5}]}
    async with client.post("/api/inventory/receive", json=lines, headers=A_MINUTE_KEY) as first:
        answer = await first.read()
        assert "Idempotency-Replayed" not in first.headers
    await shop.inventory.receive([Line("TEA", 90)], "someone else")
    async with client.post("/api/inventory/receive", json=lines, headers=A_MINUTE_KEY) as second:
        assert second.headers["Idempotency-Replayed"] == "true"
        assert await second.read() == answer
    assert (await shop.inventory.get("TEA")).on_hand == 96


async def test_a_refused_adjustment_is_refused_again_by_its_key_even_when_it_would_fit_now(
    shop: Shop, client: aiohttp.ClientSession
) -> None:
    await stock(shop, TEA=1)
    body = {"delta": -2, "reason": "broken"}
    first = await ask(client, "POST", "/TEA/adjust", json=body, headers=A_MINUTE_KEY)
    await shop.inventory.receive([Line("TEA", 90)], "someone else")
    assert await ask(client, "POST", "/TEA/adjust", json=body, headers=A_MINUTE_KEY) == first
    assert first[0] == 409


async def test_a_key_used_for_another_request_is_refused(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, TEA=1)
    await ask(client, "POST", "/TEA/adjust", json={"delta": 1, "reason": "count"}, headers=A_MINUTE_KEY)
    other = await ask(client, "POST", "/TEA/adjust", json={"delta": 2, "reason": "count"}, headers=A_MINUTE_KEY)
    assert (other[0], other[1]["code"]) == (409, "idempotency_key_reused")


async def test_fifty_simultaneous_copies_of_one_delivery_count_once(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, TEA=1)
    lines = {"lines": [{"sku": "TEA", "quantity": 5}]}
    copies = [ask(client, "POST", "/receive", json=lines, headers=A_MINUTE_KEY) for _ in range(50)]
    answers = await asyncio.gather(*copies)
    assert all(answer == answers[0] for answer in answers)
    assert (await shop.inventory.get("TEA")).on_hand == 6


async def test_a_raised_threshold_makes_a_sku_low_and_moves_no_stock(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, TEA=8)
    status, body = await ask(client, "PUT", "/TEA/threshold", json={"lowStockThreshold": 8})
    assert (status, body["lowStockThreshold"], body["version"]) == (200, 8, 1)
    _, low = await ask(client, "GET", "/low-stock")
    assert [item["sku"] for item in low["items"]] == ["TEA"]


async def test_a_threshold_set_while_stock_moves_is_never_judged_against_stale_stock(shop: Shop) -> None:
    await stock(shop, TEA=100)
    moves = [shop.inventory.adjust("TEA", -1, "sold by hand", "clerk") for _ in range(90)]
    settings = [shop.inventory.set_threshold("TEA", threshold, "clerk") for threshold in range(60)]
    await asyncio.gather(*(step for pair in zip(moves, settings, strict=False) for step in pair), *moves[60:])
    document = await shop.stores.database["inventory"].find_one({"_id": "TEA"})
    assert (document["available"], document["lowStockThreshold"], document["low"]) == (10, 59, True)


async def test_the_history_is_the_ledger_newest_first_page_by_page(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, TEA=10)
    for n in range(6):
        await shop.inventory.adjust("TEA", -1, f"reason {n}", "clerk")
    status, first = await ask(client, "GET", "/TEA/history?limit=4")
    assert status == 200
    assert first["items"][0] | {"at": ""} == {
        "sku": "TEA",
        "version": 7,
        "kind": "adjust",
        "onHandDelta": -1,
        "reservedDelta": 0,
        "onHand": 4,
        "reserved": 0,
        "available": 4,
        "actor": "clerk",
        "reason": "reason 5",
        "orderId": None,
        "reference": None,
        "at": "",
    }
    _, rest = await ask(client, "GET", f"/TEA/history?limit=4&cursor={first['nextCursor']}")
    assert [item["version"] for item in first["items"] + rest["items"]] == [7, 6, 5, 4, 3, 2, 1]
    assert rest["nextCursor"] is None


async def test_the_low_stock_list_pages_by_sku(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, A=5, B=6, C=0, D=1, E=2)
    _, first = await ask(client, "GET", "/low-stock?limit=2")
    _, rest = await ask(client, "GET", f"/low-stock?limit=2&cursor={first['nextCursor']}")
    assert [item["sku"] for item in first["items"] + rest["items"]] == ["A", "C", "D", "E"]
    assert rest["nextCursor"] is None


async def test_a_foreign_cursor_is_refused(client: aiohttp.ClientSession) -> None:
    assert (await ask(client, "GET", "/low-stock?cursor=%00"))[0] == 422
    assert (await ask(client, "GET", "/low-stock?cursor=MTI"))[0] == 422


async def test_a_count_is_right_although_sales_went_on_while_somebody_counted(
    shop: Shop, client: aiohttp.ClientSession
) -> None:
    await stock(shop, TEA=50)
    noted = (await ask(client, "GET", "/TEA"))[1]["version"]
    await ask(client, "POST", "/TEA/adjust", json={"delta": -4, "reason": "sold by hand"})
    status, body = await ask(client, "PUT", "/TEA/count", json={"counted": 47, "countedAtSeq": noted})
    assert (status, body["onHand"]) == (200, 43), "three were missing of fifty, and four have left since"
    entry = (await ask(client, "GET", "/TEA/history"))[1]["items"][0]
    assert (entry["kind"], entry["onHandDelta"], entry["reason"]) == ("count", -3, "count")


async def test_the_same_count_sent_twice_counts_once(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, TEA=50)
    body = {"counted": 52, "countedAtSeq": 1}
    keyed = {"json": body, "headers": A_MINUTE_KEY}
    assert (await ask(client, "PUT", "/TEA/count", **keyed))[1]["onHand"] == 52
    assert (await ask(client, "PUT", "/TEA/count", **keyed))[1]["onHand"] == 52
    status, refused = await ask(client, "PUT", "/TEA/count", json=body)
    assert (status, refused["code"], refused["version"]) == (409, "counted_since", 2)
    assert (await ask(client, "GET", "/TEA"))[1]["onHand"] == 52


async def test_a_count_below_what_is_held_is_refused_and_so_is_one_of_a_version_that_never_was(
    shop: Shop, client: aiohttp.ClientSession
) -> None:
    await stock(shop, TEA=5)
    await hold(shop, "TEA", 3)
    status, body = await ask(client, "PUT", "/TEA/count", json={"counted": 2, "countedAtSeq": 2})
    assert (status, body["code"]) == (409, "below_reserved")
    status, body = await ask(client, "PUT", "/TEA/count", json={"counted": 5, "countedAtSeq": 9})
    assert (status, body["code"], body["version"]) == (409, "unknown_version", 2)
    status, body = await ask(client, "PUT", "/NOPE/count", json={"counted": 5, "countedAtSeq": 0})
    assert (status, body["code"]) == (404, "unknown_sku")


async def test_a_race_between_counting_and_buying_loses_no_unit(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, TEA=200)
    noted = (await ask(client, "GET", "/TEA"))[1]["version"]
    sales = [ask(client, "POST", "/TEA/adjust", json={"delta": -1, "reason": "sold"}) for _ in range(30)]
    counted = ask(client, "PUT", "/TEA/count", json={"counted": 190, "countedAtSeq": noted})
    answers = await asyncio.gather(*sales[:15], counted, *sales[15:])
    assert {status for status, _ in answers} == {200}
    assert (await ask(client, "GET", "/TEA"))[1]["onHand"] == 200 - 10 - 30


async def test_movements_are_found_by_the_document_they_name(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, TEA=5, CUP=5)
    note = {"kind": "delivery_note", "id": "DN #1/2041"}
    lines = [{"sku": "TEA", "quantity": 3}, {"sku": "CUP", "quantity": 4}]
    await ask(client, "POST", "/receive", json={"lines": lines, "reference": note})
    await ask(client, "POST", "/TEA/adjust", json={"delta": -1, "reason": "damaged", "reference": note})
    await ask(client, "POST", "/TEA/adjust", json={"delta": -1, "reason": "damaged"})
    asked = {"referenceKind": note["kind"], "referenceId": note["id"], "limit": "2"}
    first = (await ask(client, "GET", "/movements", params=asked))[1]
    rest = (await ask(client, "GET", "/movements", params={**asked, "cursor": first["nextCursor"]}))[1]
    found = [*first["items"], *rest["items"]]
    assert [(each["sku"], each["onHandDelta"]) for each in found] == [("CUP", 4), ("TEA", 3), ("TEA", -1)]
    assert all(each["reference"] == note for each in found)
    assert rest["nextCursor"] is None
    history = (await ask(client, "GET", "/TEA/history"))[1]["items"]
    assert [each["reference"] for each in history] == [None, note, note, None]


async def test_all_stock_is_listed_by_sku_and_filtered(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, A1=50, A2=2, A3=0, B1=9)

    async def skus(**asked: str) -> list[str]:
        found, cursor = [], None
        while True:
            page = (await ask(client, "GET", "/", params={**asked, **({"cursor": cursor} if cursor else {})}))[1]
            found += [each["sku"] for each in page["items"]]
            if (cursor := page["nextCursor"]) is None:
                return found

    assert await skus(limit="1") == await skus() == ["A1", "A2", "A3", "B1"]
    assert await skus(prefix="A", limit="2") == ["A1", "A2", "A3"]
    assert await skus(low="true") == ["A2", "A3"]
    assert await skus(inStock="false") == ["A3"]
    assert await skus(onSale="false") == []


async def test_a_shop_with_reasons_of_its_own_takes_no_others(shop: Shop) -> None:
    own = replace(shop.config, stock_reasons="gift to staff, museum")
    inventory = Inventory(InventoryRepository(shop.stores.database), shop.ledger, shop.clock, own)
    await stock(shop, TEA=5)
    async with served([routes(inventory, shop.clock, own)]) as client:
        status, body = await ask(client, "POST", "/TEA/adjust", json={"delta": -1, "reason": "fun"})
        assert (status, body["code"]) == (422, "unknown_reason")
        assert "museum" in body["errors"][0]["message"]
        assert (await ask(client, "POST", "/TEA/adjust", json={"delta": -1, "reason": "museum"}))[0] == 200
        assert (await ask(client, "POST", "/TEA/adjust", json={"delta": -1, "reason": "damaged"}))[0] == 200
        listed = (await ask(client, "GET", "/reasons"))[1]
        assert listed["only"] is True
        assert "gift to staff" in listed["items"]
