"""Sellable is stock with a live offer, and everybody asks in one place: what is not sold is not offered by anything."""

from typing import Any

import pytest
import shops

from service import bootstrap
from service.alerts.models import AlertKind
from service.bootstrap import Background, Shop
from service.catalog.models import Filters, NewProduct, NewVariant, Product, Sort
from service.events import StockChanged
from service.inventory.models import InsufficientStock, Line, Posting, Reserve, UnknownSku
from service.inventory.schemas import availability_view
from service.inventory.tasks import states_of
from service.orders.models import UnknownItems

TEA = NewProduct("Green tea", 500, "drinks", sku="TEA")
MUG = NewProduct("Mug", 5_000, "kitchen", variants=(NewVariant("red", "MUG-R"), NewVariant("blue", "MUG-B", 3_000)))


@pytest.fixture
def background(shop: Shop) -> Background:
    return bootstrap.background(shop)


async def stocked(shop: Shop, new: NewProduct, units: int = 3) -> Product:
    product = await shop.catalog.create(new)
    await shop.inventory.receive([Line(sku, units) for sku in product.skus], "staff")
    return product


async def shown(shop: Shop, sku: str) -> tuple[int, bool, str]:
    """By the availability, which the stream must agree with."""
    view = availability_view((await shop.inventory.availability([sku]))[sku])
    [state] = await states_of(shop.inventory, shop.schema.current_epoch)([sku])
    assert f'"action":"{view.action}"' in bytes(state.data).decode()
    return view.available, view.low_stock, view.action


async def facts(shop: Shop) -> list[StockChanged]:
    entries = [entry async for entry in shop.stores.database["outbox"].find().sort("_id", 1)]
    named = [fact for entry in entries for fact in entry["facts"] if fact["name"] == StockChanged.name]
    return [StockChanged(**{key: value for key, value in fact.items() if key != "name"}) for fact in named]


async def test_an_archived_product_is_unavailable_and_staff_still_see_its_stock(shop: Shop) -> None:
    product = await stocked(shop, TEA)
    await shop.catalog.archive(product.slug)
    assert await shown(shop, "TEA") == (0, False, "unavailable")
    assert (await shop.inventory.get("TEA")).on_hand == 3
    last = (await facts(shop))[-1]
    assert (last.was, last.available, last.on_sale) == (3, 0, False)
    assert [stock.sku for stock in (await shop.inventory.low_stock("", 10)).items] == []


async def test_what_is_back_in_the_catalogue_is_offered_again(shop: Shop) -> None:
    product = await stocked(shop, TEA)
    await shop.catalog.archive(product.id)
    await shop.catalog.edit(product.id, {"status": type(product.status).ACTIVE})
    assert await shown(shop, "TEA") == (3, True, "add_to_cart")
    last = (await facts(shop))[-1]
    assert (last.was, last.available, last.on_sale) == (0, 3, True)


@pytest.mark.parametrize("change", [{"variants": (NewVariant("blue", "MUG-B"),)}, {"sku": "MUG", "variants": ()}])
async def test_a_dropped_variant_is_unavailable(shop: Shop, change: dict[str, Any]) -> None:
    product = await stocked(shop, MUG)
    await shop.catalog.edit(product.slug, change)
    assert await shown(shop, "MUG-R") == (0, False, "unavailable")


async def test_a_renamed_sku_is_unavailable_under_its_old_name(shop: Shop) -> None:
    product = await stocked(shop, TEA)
    await shop.catalog.edit(product.id, {"sku": "TEA-2"})
    assert await shown(shop, "TEA") == (0, False, "unavailable")
    assert await shown(shop, "TEA-2") == (0, True, "notify_me")


async def test_stock_that_moves_while_it_is_not_sold_stays_unavailable(shop: Shop) -> None:
    product = await stocked(shop, TEA)
    await shop.catalog.archive(product.id)
    await shop.inventory.receive([Line("TEA", 5)], "staff")
    last = (await facts(shop))[-1]
    assert (last.was, last.available, last.on_sale) == (0, 0, False)
    assert await shown(shop, "TEA") == (0, False, "unavailable")


async def test_nobody_waits_for_what_is_not_sold_and_nobody_is_told(shop: Shop, background: Background) -> None:
    product = await stocked(shop, TEA, units=1)
    await shop.catalog.archive(product.id)
    with pytest.raises(UnknownSku):
        await background.notices.subscribe("TEA", "u1", "ada@example.com")
    assert await background.notices.tell("TEA") == 0


async def test_alerts_end_with_the_offer_and_none_are_raised_without_one(shop: Shop, background: Background) -> None:
    product = await stocked(shop, TEA, units=1)
    await background.alerts.reconcile(["TEA"])
    assert len(await background.alerts.open_alerts(AlertKind.LOW_STOCK, None)) == 1
    await shop.catalog.archive(product.id)
    await background.alerts.reconcile(["TEA"])
    await shop.inventory.adjust("TEA", -1, "lost", "staff")
    await background.alerts.reconcile(["TEA"])
    assert [len(await background.alerts.open_alerts(kind, None)) for kind in AlertKind] == [0, 0]


async def test_a_checkout_names_each_line_that_is_not_sold_and_why(shop: Shop) -> None:
    product = await stocked(shop, TEA)
    await shop.catalog.archive(product.id)
    with pytest.raises(UnknownItems) as refusal:
        await shops.buy(shop, TEA=1, NEVER=1)
    assert refusal.value.extra["unavailable"] == [
        {"sku": "TEA", "reason": "archived"},
        {"sku": "NEVER", "reason": "unknown"},
    ]


async def test_an_archived_sku_is_not_reserved_by_a_checkout_that_was_priced_before(shop: Shop) -> None:
    product = await stocked(shop, TEA)
    await shop.catalog.archive(product.id)
    late = Reserve("o1", "u1", (Line("TEA", 1),), shops.FAR)
    with pytest.raises(InsufficientStock):
        await shop.ledger.post(Posting(late, "u1", order_id="o1"))


async def test_stock_of_an_older_version_is_brought_in_step(shop: Shop) -> None:
    product = await stocked(shop, TEA)
    await shop.catalog.archive(product.id)
    await shop.stores.database["inventory"].update_one({"_id": "TEA"}, {"$unset": {"onSale": 1}, "$set": {"low": True}})
    await shop.catalog.upgrade()
    assert await shown(shop, "TEA") == (0, False, "unavailable")


async def test_the_lowest_price_counts_in_lists_filters_and_sorts(shop: Shop) -> None:
    mug, tea = await stocked(shop, MUG), await stocked(shop, NewProduct("Tea", 4_000, "drinks", sku="TEA"))
    assert (mug.price, mug.price_from) == (5_000, 3_000)

    async def listed(sort: Sort, **filters: int) -> list[str]:
        return [each.id for each in (await shop.catalog.listed(None, Filters(**filters), sort, None, 10)).items]

    assert await listed(Sort.PRICE_ASC) == [mug.id, tea.id]
    assert await listed(Sort.PRICE_DESC, max_price=3_000) == [mug.id]
    assert await listed(Sort.NEWEST, min_price=3_500) == [tea.id]


async def test_a_products_price_reaches_the_variants_without_one_of_their_own(shop: Shop) -> None:
    product = await stocked(shop, MUG)
    changed = await shop.catalog.edit(product.slug, {"price": 2_000})
    assert {each.sku: each.price for each in changed.variants} == {"MUG-R": 2_000, "MUG-B": 3_000}
    assert changed.price_from == 2_000
    assert (await shops.buy(shop, **{"MUG-R": 1, "MUG-B": 1})).total == 5_000


async def test_prices_of_an_older_version_are_brought_in_step(shop: Shop) -> None:
    product = await stocked(shop, MUG)
    old = {"$set": {"price": 5_000}, "$unset": {"basePrice": 1, "variants.$[].ownPrice": 1}}
    await shop.stores.database["products"].update_one({"_id": product.id}, old)
    await shop.catalog.upgrade()
    changed = await shop.catalog.edit(product.id, {"price": 6_000})
    assert ({each.sku: each.price for each in changed.variants}, changed.price_from) == (
        {"MUG-R": 6_000, "MUG-B": 3_000},
        3_000,
    )


async def test_goods_in_name_every_sku_there_is_none_of(shop: Shop) -> None:
    await stocked(shop, TEA)
    with pytest.raises(UnknownSku) as refusal:
        await shop.inventory.receive([Line("NO-1", 1), Line("TEA", 1), Line("NO-2", 1)], "staff")
    assert refusal.value.extra["skus"] == ["NO-1", "NO-2"]
