"""The catalogue as files: /api/products/import and /export on the real stores."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from catalogue import MUG, Client, call, catalogue, made, ok

from service.bootstrap import Shop

FULL = MUG | {
    "name": '=Mug; the "red", one',
    "brand": "Suki",
    "tags": ["red", "gift"],
    "description": "two\nlines",
    "variants": [{"name": "small", "sku": "S-1"}, {"name": "large", "sku": "L-1", "price": 1500}],
}


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[Client]:
    async with catalogue(shop) as opened:
        yield opened


async def send(client: Client, text: str, query: str = "", media: str = "text/csv") -> tuple[int, Any]:
    headers = {"Content-Type": media}
    async with client.post(f"/api/products/import{query}", data=text.encode(), headers=headers) as response:
        return response.status, await response.json()


async def exported(client: Client, kind: str) -> str:
    async with client.get(f"/api/products/export?format={kind}") as response:
        assert response.status == 200
        return await response.text()


def statuses(body: Any) -> list[str]:
    return [item["status"] for item in body["items"]]


async def test_rows_make_products_and_change_them_only_in_what_they_give(client: Client) -> None:
    known = await made(client, sku="OLD-1")
    file = f"sku,name,category,price,tags\nNEW-1,Tin,tins,300,a|b\nOLD-1,{known['name']},,777,\nOLD-1,,,777,\n"
    _, dry = await send(client, file, "?dryRun=1")
    assert statuses(dry) == ["created", "changed", "changed"]
    assert len((await ok(client, "GET", ""))["items"]) == 1
    _, body = await send(client, file)
    assert statuses(body) == ["created", "changed", "unchanged"]
    assert (body["created"], body["changed"], body["unchanged"], body["refused"]) == (1, 1, 1, 0)
    after = await ok(client, "GET", f"/{known['id']}")
    assert (after["price"], after["tags"], after["version"]) == (777, known["tags"], known["version"] + 1)
    assert (await ok(client, "GET", "/by-sku/NEW-1"))["tags"] == ["a", "b"]
    assert statuses((await send(client, file))[1]) == ["unchanged"] * 3  # sent again after a cut


async def test_what_was_exported_changes_nothing_when_it_comes_back(client: Client) -> None:
    for product in (FULL, MUG | {"sku": "M-1"}, MUG | {"maxPerOrder": 2, "verifiedOnly": True}):
        assert (await call(client, "POST", "", product))[0] == 201
    for kind, media in (("csv", "text/csv"), ("jsonl", "application/jsonl")):
        text = await exported(client, kind)
        _, body = await send(client, text, media=media)
        assert statuses(body) == ["unchanged"] * 3, body
    assert "'=Mug" in await exported(client, "csv")  # no formula to a spreadsheet
    changed = (await exported(client, "csv")).replace("Suki", "Emi")
    assert sorted(statuses((await send(client, changed))[1])) == ["changed", "unchanged", "unchanged"]
    assert statuses((await send(client, changed.replace("Emi", "Ono")))[1]).count("refused") == 1  # an older version


async def test_each_row_is_answered_for_itself_in_a_sentence(client: Client) -> None:
    await made(client, sku="TAKEN-1")
    file = (
        "sku,slug,name,category,price,currency,variants\nA-1,,Tin,tins,,,\nA-2,,Tin,tins,x,,\nA-3,,Tin,tins,1,XXX,\n"
        "A-4,search,Tin,tins,1,,\n,,Tin,tins,1,,not json\n"
        ',,Tin,tins,1,,"[{""name"":""a"",""sku"":""B-1""},{""name"":""b"",""sku"":""B-1""}]"\nimport,,Tin,tins,1,,\n'
        "A-5,,Tin,tins,1,,\n"
    )
    for query in ("?dryRun=1", ""):
        _, body = await send(client, file, query)
        assert statuses(body) == ["refused"] * 7 + ["created"], body
        assert [item["line"] for item in body["items"]] == list(range(2, 10))
        messages = [item["message"] for item in body["items"]]
        assert messages[0] == "price: Is required"
        assert messages[1] == "price: Must be a whole number"
        assert all(messages[:7])


async def test_the_same_file_at_the_same_time_makes_each_product_once(client: Client) -> None:
    file = "sku,name,category,price\n" + "".join(f"T-{number},Tin {number},tins,5\n" for number in range(10))
    bodies = [body for _, body in await asyncio.gather(*(send(client, file) for _ in range(3)))]
    assert sum(body["created"] for body in bodies) == 10
    assert len((await ok(client, "GET", "?limit=100"))["items"]) == 10
