"""The tree of categories."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from catalogue import Client, call, catalogue, made, ok

from service.bootstrap import Shop


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[Client]:
    async with catalogue(shop) as opened:
        yield opened


async def put(client: Client, category: str, parent: str | None = None) -> Any:
    return await ok(client, "PUT", f"/categories/{category}", {"name": category.title(), "parent": parent})


async def shape(client: Client) -> Any:
    def names(nodes: list[dict[str, Any]]) -> dict[str, Any]:
        return {node["id"]: names(node["children"]) for node in nodes}

    return names((await ok(client, "GET", "/categories"))["items"])


async def test_a_category_hangs_under_its_parent(client: Client) -> None:
    await put(client, "home")
    await put(client, "kitchen", "home")
    mugs = await put(client, "mugs", "kitchen")
    assert mugs["path"] == ["home", "kitchen", "mugs"]
    assert await shape(client) == {"home": {"kitchen": {"mugs": {}}}}


async def test_a_product_of_a_new_category_brings_it_along(client: Client) -> None:
    await made(client, category="Home & Garden")
    assert await shape(client) == {"Home & Garden": {}}
    async with client.get("/api/products", params={"category": "Home & Garden"}) as answer:
        assert len((await answer.json())["items"]) == 1


async def test_a_category_lists_what_lies_below_it(client: Client) -> None:
    await put(client, "home")
    await put(client, "kitchen", "home")
    mug, plate = await made(client, category="kitchen"), await made(client, category="home")
    await made(client, category="elsewhere")

    async def listed(category: str) -> set[str]:
        return {each["id"] for each in (await ok(client, "GET", f"?category={category}"))["items"]}

    assert await listed("home") == {mug["id"], plate["id"]}
    assert await listed("kitchen") == {mug["id"]}
    assert await listed("nowhere") == set()


async def test_a_category_is_moved_with_everything_below_it(client: Client) -> None:
    for category, parent in (("home", None), ("garden", None), ("kitchen", "home"), ("mugs", "kitchen")):
        await put(client, category, parent)
    await put(client, "kitchen", "garden")
    assert await shape(client) == {"garden": {"kitchen": {"mugs": {}}}, "home": {}}
    await put(client, "kitchen")
    assert await shape(client) == {"garden": {}, "home": {}, "kitchen": {"mugs": {}}}


async def test_a_category_cannot_be_put_below_itself(client: Client) -> None:
    await put(client, "home")
    await put(client, "kitchen", "home")
    for category, parent in (("home", "kitchen"), ("home", "home")):
        status, problem = await call(client, "PUT", f"/categories/{category}", {"name": "x", "parent": parent})
        assert (status, problem["code"]) == (409, "category_cycle")


async def test_a_parent_nobody_made_is_not_found(client: Client) -> None:
    status, problem = await call(client, "PUT", "/categories/mugs", {"name": "Mugs", "parent": "nothing"})
    assert (status, problem["code"]) == (404, "category_not_found")


async def test_the_tree_grows_only_so_deep(client: Client, shop: Shop) -> None:
    parent = None
    for level in range(shop.config.category_depth_max):
        await put(client, f"level-{level}", parent)
        parent = f"level-{level}"
    status, problem = await call(client, "PUT", "/categories/deeper", {"name": "x", "parent": parent})
    assert (status, problem["code"]) == (409, "category_limit")
