"""Products over HTTP: made, read, changed by two at once, renamed, archived."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from catalogue import MUG, Client, call, catalogue, made, ok

from service.bootstrap import Shop
from service.catalog.models import ProductNotFound
from service.inventory.models import Line


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[Client]:
    async with catalogue(shop) as opened:
        yield opened


async def test_a_new_product_is_read_as_the_contract_says(client: Client) -> None:
    product = await made(
        client,
        description="Holds tea",
        brand="Regency",
        tags=["enamel", "gift", "enamel"],
        currency="GBP",
        images=["/images/mug.jpg", {"url": "https://example.org/mug.jpg", "alt": "From above"}],
        sku="MUG-1",
    )
    assert product == await ok(client, "GET", f"/{product['id']}") == await ok(client, "GET", "/red-enamel-mug")
    assert {name: product[name] for name in ("name", "slug", "price", "currency", "category", "brand", "sku")} == {
        "name": "Red enamel mug",
        "slug": "red-enamel-mug",
        "price": 1299,
        "currency": "GBP",
        "category": "mugs",
        "brand": "Regency",
        "sku": "MUG-1",
    }
    assert product["tags"] == ["enamel", "gift"]
    assert product["images"][0] == {"url": "/images/mug.jpg", "alt": ""}
    assert product["variants"] == []
    assert product["rating"] == {"average": 0.0, "count": 0}
    assert product["availability"] == {"inStock": False, "available": 0}


async def test_a_product_without_variants_gets_a_sku_of_its_own(client: Client, shop: Shop) -> None:
    product = await made(client)
    assert product["sku"]
    assert (await shop.inventory.get(product["sku"])).product_id == product["id"]


async def test_each_variant_has_its_own_sku_stock_and_price(client: Client, shop: Shop) -> None:
    variants = [{"name": "small", "sku": "S", "price": 999}, {"name": "large"}]
    product = await made(client, variants=variants)
    small, large = product["variants"]
    assert product["sku"] is None
    assert (small["sku"], small["price"], large["price"]) == ("S", 999, 1299)
    await shop.inventory.receive([Line("S", 2), Line(large["sku"], 3)], "staff")
    read = await ok(client, "GET", f"/{product['id']}")
    assert read["availability"] == {"inStock": True, "available": 5}
    assert [each["availability"]["available"] for each in read["variants"]] == [2, 3]


async def test_a_product_can_be_bought_as_soon_as_it_has_stock(client: Client, shop: Shop) -> None:
    product = await made(client, variants=[{"name": "small", "sku": "S", "price": 999}])
    await shop.inventory.receive([Line("S", 1)], "staff")
    order = (await shop.orders.checkout("u1", [Line("S", 1)])).order
    assert (order.lines[0].unit_price, order.lines[0].product_id) == (999, product["id"])
    assert order.lines[0].name == "Red enamel mug · small"


async def test_a_page_of_products_asks_for_stock_once(client: Client, shop: Shop) -> None:
    for number in range(5):
        await made(client, variants=[{"name": "one", "sku": f"A{number}"}, {"name": "two", "sku": f"B{number}"}])
    reads = shop.inventory._read.batches
    assert len((await ok(client, "GET", ""))["items"]) == 5
    assert shop.inventory._read.batches == reads + 1


async def test_products_asked_for_at_once_by_any_of_their_names_share_a_read(client: Client, shop: Shop) -> None:
    first, second = await made(client), await made(client, name="Blue enamel mug")
    await ok(client, "PATCH", f"/{first['id']}", {"name": "Green enamel mug"})
    names = ["red-enamel-mug", "nothing-of-the-kind", second["id"], "green-enamel-mug", second["slug"]] * 10
    reads = shop.catalog._products._named.batches
    found = await asyncio.gather(*map(shop.catalog.get, names), return_exceptions=True)
    assert [getattr(each, "id", type(each)) for each in found] == [
        first["id"],
        ProductNotFound,
        second["id"],
        first["id"],
        second["id"],
    ] * 10
    assert shop.catalog._products._named.batches == reads + 1


async def test_products_of_one_name_get_different_slugs(client: Client) -> None:
    slugs = {(await made(client))["slug"] for _ in range(3)}
    assert len(slugs) == 3
    assert all(slug.startswith("red-enamel-mug") for slug in slugs)


async def test_products_of_one_name_made_at_once_all_come_to_be(client: Client) -> None:
    products = await asyncio.gather(*(made(client) for _ in range(8)))
    assert len({product["slug"] for product in products}) == 8
    assert len({product["sku"] for product in products}) == 8


async def test_a_slug_that_was_asked_for_and_is_taken_is_refused(client: Client) -> None:
    await made(client, slug="mug")
    status, problem = await call(client, "POST", "", MUG | {"slug": "mug"})
    assert (status, problem["code"]) == (409, "slug_taken")


async def test_a_sku_belongs_to_one_product_forever(client: Client) -> None:
    first = await made(client, sku="MUG-1")
    await ok(client, "PATCH", f"/{first['id']}", {"sku": "MUG-2"})
    for taken in ("MUG-1", "MUG-2"):
        status, problem = await call(client, "POST", "", MUG | {"sku": taken})
        assert (status, problem["code"], problem["skus"]) == (409, "sku_taken", [taken])


async def test_of_two_products_that_claim_one_sku_at_once_one_is_refused(client: Client, shop: Shop) -> None:
    answers = await asyncio.gather(*(call(client, "POST", "", MUG | {"sku": "MUG-1"}) for _ in range(5)))
    assert sorted(status for status, _ in answers) == [201, 409, 409, 409, 409]
    assert len((await ok(client, "GET", ""))["items"]) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 201},
        {"price": -1},
        {"price": 12.5},
        {"price": "1299"},
        {"currency": "EUR"},
        {"currency": "pounds"},
        {"slug": "Not A Slug"},
        {"slug": "search"},
        {"sku": "a b"},
        {"sku": "own", "variants": [{"name": "small"}]},
        {"variants": [{"name": "a", "sku": "S"}, {"name": "b", "sku": "S"}]},
        {"tags": ["x"] * 21},
        {"images": ["javascript:alert(1)"]},
        {"name": "gnp.\u202eexe"},
        {"name": "\u2066Mug"},
        {"name": "Mug\x00"},
        {"brand": "Suki\u202e"},
        {"tags": ["\u202dnew"]},
        {"variants": [{"name": "small\u2069", "sku": "S"}]},
        {"unknown": 1},
    ],
)
async def test_a_product_that_cannot_be_is_refused(client: Client, wrong: dict[str, Any]) -> None:
    status, problem = await call(client, "POST", "", MUG | wrong)
    assert (status, problem["code"]) == (422, "invalid")
    assert (await ok(client, "GET", ""))["items"] == []


async def test_names_of_every_script_are_kept_as_they_are(client: Client) -> None:
    for name in ("ספל אדום", "كوب أحمر", "赤いマグ", "Mug\u200f (ספל)", "Tea\tfor two"):
        assert (await made(client, name=name))["name"] == name
    _, problem = await call(client, "POST", "", MUG | {"name": "gnp.\u202eexe"})
    assert problem["detail"] == "name: Must be readable text, without control characters and such as turn its direction"


async def test_two_staff_who_change_different_fields_both_win(client: Client) -> None:
    product = await made(client)
    path = f"/{product['id']}"
    await asyncio.gather(
        *(ok(client, "PATCH", path, change) for change in ({"price": 1}, {"brand": "Suki"}, {"tags": ["new"]}))
    )
    read = await ok(client, "GET", path)
    assert (read["price"], read["brand"], read["tags"], read["version"]) == (1, "Suki", ["new"], 4)


async def test_of_two_staff_who_saw_the_same_version_the_later_is_told(client: Client) -> None:
    product = await made(client)
    changes = [{"price": price, "version": 1} for price in range(1, 6)]
    answers = await asyncio.gather(*(call(client, "PATCH", f"/{product['id']}", change) for change in changes))
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409, 409]
    refused = next(problem for status, problem in answers if status == 409)
    assert (refused["code"], refused["version"]) == ("version_conflict", 2)


async def test_a_change_that_changes_nothing_is_no_new_version(client: Client) -> None:
    product = await made(client)
    assert (await ok(client, "PATCH", f"/{product['id']}", {"price": 1299}))["version"] == 1


async def test_a_new_price_is_what_the_next_checkout_pays(client: Client, shop: Shop) -> None:
    product = await made(client, sku="MUG-1")
    await shop.inventory.receive([Line("MUG-1", 2)], "staff")
    await ok(client, "PATCH", f"/{product['id']}", {"price": 999})
    assert (await shop.orders.checkout("u1", [Line("MUG-1", 1)])).order.total == 999


async def test_a_variant_that_is_dropped_can_no_longer_be_bought(client: Client, shop: Shop) -> None:
    product = await made(client, variants=[{"name": "small", "sku": "S"}, {"name": "large", "sku": "L"}])
    await shop.inventory.receive([Line("S", 1), Line("L", 1)], "staff")
    await ok(client, "PATCH", f"/{product['id']}", {"variants": [{"name": "large", "sku": "L"}]})
    offers = await shop.offers.of(["S", "L"])
    assert (offers["S"].active, offers["L"].active) == (False, True)
    assert (await ok(client, "GET", f"/{product['id']}"))["availability"]["available"] == 1


async def test_every_slug_a_product_ever_had_leads_to_it(client: Client) -> None:
    product = await made(client)
    await ok(client, "PATCH", f"/{product['id']}", {"name": "Blue enamel mug"})
    await ok(client, "PATCH", f"/{product['id']}", {"slug": "our-mug"})
    for slug in ("red-enamel-mug", "blue-enamel-mug", "our-mug"):
        read = await ok(client, "GET", f"/{slug}")
        assert (read["id"], read["slug"]) == (product["id"], "our-mug")


async def test_a_chosen_slug_survives_a_new_name(client: Client) -> None:
    product = await made(client, slug="our-mug")
    assert (await ok(client, "PATCH", f"/{product['id']}", {"name": "Blue mug"}))["slug"] == "our-mug"


async def test_a_current_slug_wins_over_a_former_one(client: Client) -> None:
    former = await made(client, slug="mug")
    await ok(client, "PATCH", f"/{former['id']}", {"slug": "old-mug"})
    current = await made(client, slug="mug")
    assert (await ok(client, "GET", "/mug"))["id"] == current["id"]


async def test_an_archived_product_is_gone_for_buyers_and_kept_for_staff(client: Client, shop: Shop) -> None:
    product = await made(client, sku="MUG-1")
    await shop.inventory.receive([Line("MUG-1", 2)], "staff")
    assert (await call(client, "DELETE", f"/{product['id']}"))[0] == 204
    assert (await call(client, "DELETE", f"/{product['id']}"))[0] == 204
    assert (await ok(client, "GET", ""))["items"] == []
    assert (await ok(client, "GET", f"/{product['id']}"))["status"] == "archived"
    assert not (await shop.offers.of(["MUG-1"]))["MUG-1"].active
    async with catalogue(shop, caller=None) as anyone:
        status, problem = await call(anyone, "GET", f"/{product['id']}")
        assert (status, problem["code"]) == (404, "product_not_found")


async def test_an_archived_product_can_be_brought_back(client: Client, shop: Shop) -> None:
    product = await made(client, sku="MUG-1")
    await ok(client, "DELETE", f"/{product['id']}")
    await ok(client, "PATCH", f"/{product['id']}", {"status": "active"})
    assert [each["id"] for each in (await ok(client, "GET", ""))["items"]] == [product["id"]]
    assert (await shop.offers.of(["MUG-1"]))["MUG-1"].active


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_a_product_nobody_made_is_not_found(client: Client, method: str) -> None:
    body = {"price": 1} if method == "PATCH" else None
    status, problem = await call(client, method, "/nothing", body)
    assert (status, problem["code"]) == (404, "product_not_found")


async def test_each_change_leaves_one_fact_with_its_version(client: Client, shop: Shop) -> None:
    product = await made(client)
    await ok(client, "PATCH", f"/{product['id']}", {"price": 1})
    await ok(client, "DELETE", f"/{product['id']}")
    entries = await shop.stores.database["outbox"].find().sort("_id", 1).to_list(None)
    facts = [fact for entry in entries for fact in entry["facts"] if fact["name"] == "product_changed"]
    assert [(fact["product_id"], fact["version"]) for fact in facts] == [(product["id"], n) for n in (1, 2, 3)]


async def test_a_refused_product_leaves_nothing_behind(client: Client, shop: Shop) -> None:
    await made(client, sku="TAKEN")
    await call(client, "POST", "", MUG | {"variants": [{"name": "a", "sku": "FREE"}, {"name": "b", "sku": "TAKEN"}]})
    assert "FREE" not in await shop.offers.of(["FREE"])
    assert "FREE" not in await shop.inventory.availability(["FREE"])


async def test_what_was_read_is_not_sent_again_until_it_changes(client: Client, shop: Shop) -> None:
    product = await made(client, sku="MUG-1")
    for path in (f"/{product['id']}", "", "/search?q=mug", "/categories"):
        async with client.get(f"/api/products{path}") as first:
            tag = first.headers["etag"]
        async with client.get(f"/api/products{path}") as again:
            assert again.headers["etag"] == tag
    await shop.inventory.receive([Line("MUG-1", 1)], "staff")
    async with client.get(f"/api/products/{product['id']}") as changed:
        assert changed.headers["etag"] != tag
