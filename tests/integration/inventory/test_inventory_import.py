"""Stock as files: /api/inventory/import and the list as CSV, on the real stores."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from app_client import served
from test_inventory_routes import hold, stock

from service.bootstrap import Shop
from service.errors import Unavailable
from service.inventory.routes import routes

HEADER = "sku,kind,quantity,reason,referenceKind,referenceId\n"


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[aiohttp.ClientSession]:
    async with served([routes(shop.inventory, shop.clock, shop.config)]) as opened:
        yield opened


async def send(
    client: aiohttp.ClientSession, text: str | bytes, query: str = "", key: str = "", media: str = "text/csv"
) -> tuple[int, Any]:
    headers = {"Content-Type": media} | ({"Idempotency-Key": key} if key else {})
    async with client.post(f"/api/inventory/import{query}", data=text, headers=headers) as response:
        return response.status, await response.json()


def statuses(body: Any) -> list[str]:
    return [item["status"] for item in body["items"]]


async def test_a_file_of_every_kind_is_applied_through_the_ledger(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, TEA=10, CUP=5, POT=7, PAN=9)
    rows = "TEA,receive,5,,delivery_note,DN-7\nCUP,adjust,-2,damaged,,\nPOT,set,3,,,\n\nTEA,receive,1,,,\n"
    status, body = await send(client, HEADER + rows)
    assert (status, statuses(body)) == (200, ["applied"] * 4)
    assert [(item["line"], item["sku"], item["onHand"]) for item in body["items"]] == [
        (2, "TEA", 15),
        (3, "CUP", 3),
        (4, "POT", 3),
        (6, "TEA", 16),
    ]
    assert (body["rows"], body["done"], body["refused"], body["complete"]) == (4, 4, 0, True)
    second, first, *_ = await shop.inventory.history("TEA", None, 10)
    assert (first.reason, first.actor) == ("goods in", "staff-1")
    assert first.reference is not None
    assert (first.reference.kind, first.reference.id) == ("delivery_note", "DN-7")
    assert second.reference is None
    assert (await shop.inventory.history("CUP", None, 1))[0].reason == "damaged"


async def test_each_row_is_answered_for_itself_with_its_line_and_a_sentence(
    shop: Shop, client: aiohttp.ClientSession
) -> None:
    await stock(shop, TEA=10)
    await hold(shop, "TEA", 4)
    rows = (
        "NOPE,receive,1,,,\nTEA,set,3,,,\nTEA,receive,0,,,\nTEA,lend,1,,,\nTEA,adjust,half,,,\nTEA,count,1,,,\n"
        'TEA,adjust,1,,delivery_note,\nTEA,adjust,1,x,note,1,seven\nTEA,,1,,,\nTEA,adjust,-1,"two\nlines",,\n'
        "TEA,adjust,0,,,\nTEA,set,-1,,,\n?,set,1,,,\nTEA,adjust,1,broken,,\n"
    )
    status, body = await send(client, HEADER + rows)
    assert status == 200
    assert [item["line"] for item in body["items"]] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16]
    assert statuses(body) == ["refused"] * 9 + ["applied"] + ["refused"] * 3 + ["applied"]
    messages = {item["line"]: item["message"] for item in body["items"] if item["status"] == "refused"}
    assert messages[2] == "There is no SKU NOPE"
    assert messages[3] == "Stock cannot go below what is reserved"
    assert messages[4] == "quantity: Must be at least 1 of what is received"
    assert messages[5] == "kind: Must be one of adjust, count, receive, set"
    assert messages[6] == "quantity: Must be a whole number"
    assert messages[7] == "countedAtSeq: Is required: the version that was read before counting"
    assert messages[8] == "referenceId: Is required beside the other part of the reference"
    assert messages[9] == "Has 7 cells, the header 6"
    assert messages[10] == "kind: Is required: set, receive, adjust, count"
    assert all(item["code"] for item in body["items"] if item["status"] == "refused")
    assert (await shop.inventory.get("TEA")).on_hand == 10


async def test_a_dry_run_answers_as_the_run_would_and_changes_nothing(
    shop: Shop, client: aiohttp.ClientSession
) -> None:
    await stock(shop, TEA=10, CUP=0)
    rows = HEADER + "TEA,adjust,-8,,,\nTEA,adjust,-8,,,\nTEA,receive,100,,,\nTEA,adjust,-8,,,\nNOPE,set,1,,,\n"
    status, dry = await send(client, rows, "?dryRun=1", key="file-1")
    assert (status, dry["dryRun"]) == (200, True)
    assert (await shop.inventory.get("TEA")).seq == 1
    _, run = await send(client, rows, key="file-1")
    assert statuses(dry) == ["would_apply", "refused", "would_apply", "would_apply", "refused"]
    assert statuses(run) == ["applied", "refused", "applied", "applied", "refused"]
    assert [item["onHand"] for item in dry["items"]] == [item["onHand"] for item in run["items"]]
    _, again = await send(client, rows, "?dryRun=1", key="file-1")
    assert statuses(again) == ["repeated", "would_apply", "repeated", "repeated", "refused"]


async def test_a_file_sent_again_after_a_cut_applies_each_row_once(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, TEA=0, CUP=0)
    rows = "".join(f"{'TEA' if number % 2 else 'CUP'},receive,1,,,\n" for number in range(600))
    cut = HEADER + rows[: len(rows) // 2].rpartition("\n")[0] + "\n"
    _, first = await send(client, cut, key="file-1")
    both = await asyncio.gather(*(send(client, HEADER + rows, key="file-1") for _ in range(2)))
    for _, body in both:
        assert body["done"] + body["repeated"] == 600
    assert sum(body["done"] for _, body in both) == 600 - first["done"]
    assert [(await shop.inventory.get(sku)).on_hand for sku in ("TEA", "CUP")] == [300, 300]


async def test_what_was_refused_is_put_right_in_its_line_and_sent_again(
    shop: Shop, client: aiohttp.ClientSession
) -> None:
    await stock(shop, TEA=0)
    _, first = await send(client, HEADER + "TEA,receive,5,,,\nTAE,receive,7,,,\n", key="file-1")
    assert statuses(first) == ["applied", "refused"]
    _, second = await send(client, HEADER + "TEA,receive,5,,,\nTEA,receive,7,,,\n", key="file-1")
    assert statuses(second) == ["repeated", "applied"]
    _, third = await send(client, HEADER + "TEA,receive,50,,,\nTEA,receive,7,,,\n", key="file-1")
    assert [item["code"] for item in third["items"]] == ["idempotency_key_reused", None]
    assert (await shop.inventory.get("TEA")).on_hand == 12


async def test_without_a_key_a_file_is_a_new_one_each_time(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, TEA=0)
    for _ in range(2):
        assert statuses((await send(client, HEADER + "TEA,receive,5,,,\n"))[1]) == ["applied"]
    assert (await shop.inventory.get("TEA")).on_hand == 10


async def test_json_lines_say_the_same(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, TEA=10)
    rows = (
        '{"sku": "TEA", "kind": "adjust", "quantity": -1, "reason": null}\n\n{"sku": "TEA", "quantity": "3"}\n'
        '["TEA"]\n{"sku": "TEA"\n{"sku": "TEA", "quantity": 4, "colour": "red"}\n'
        '{"sku": "TEA", "quantity": 4, "referenceKind": "order", "referenceId": "o-1"}'
    )
    for media in ("application/jsonl", "application/x-ndjson; charset=utf-8"):
        _, body = await send(client, rows, "?kind=set&reason=found&dryRun=1", media=media)
        assert [(item["line"], item["status"]) for item in body["items"]] == [
            (1, "would_apply"),
            (3, "refused"),
            (4, "refused"),
            (5, "refused"),
            (6, "refused"),
            (7, "would_apply"),
        ]
        assert body["items"][1]["message"] == "quantity: Must be a whole number"
        assert body["items"][4]["message"] == "colour: Is not known here"


@pytest.mark.parametrize(
    ("text", "status", "sentence"),
    [
        (b"", 400, "The file is empty"),
        (b"\n \n", 400, "The file is empty"),
        (b"sku,quantity\nTEA,\xff\n", 400, "Line 2 is not UTF-8: save the file as CSV UTF-8"),
        (b"sku;amount\nTEA;1\n", 422, "The header: amount: Is no column of this file"),
        (b"sku,kind\nTEA,set\n", 422, "The header: quantity: Is a column that the file needs"),
        (b"sku,quantity,onHand\nTEA,1,1\n", 422, "The header: quantity: Stands for quantity, as another column does"),
        (b"sku,quantity\n" + b"TEA,1\n" * 101_000, 413, "A file may have at most 100001 lines: send it in parts"),
    ],
)
async def test_a_file_that_is_none_is_refused_as_a_whole(
    client: aiohttp.ClientSession, text: bytes, status: int, sentence: str
) -> None:
    answered, body = await send(client, text, "?kind=set")
    assert (answered, body["detail"]) == (status, sentence)


async def test_other_types_of_body_are_not_taken(client: aiohttp.ClientSession) -> None:
    for media in ("application/json", "text/plain", "application/x-www-form-urlencoded", ""):
        assert (await send(client, HEADER, media=media))[0] == 415


async def test_a_quote_that_is_never_closed_costs_the_rows_behind_it_and_no_others(
    shop: Shop, client: aiohttp.ClientSession
) -> None:
    await stock(shop, TEA=0)
    _, body = await send(client, HEADER + 'TEA,receive,1,,,\nTEA,receive,1,"oh,,\nTEA,receive,1,,,\n')
    assert [(item["line"], item["status"]) for item in body["items"]] == [(2, "applied"), (3, "refused")]
    assert "from here on" in body["items"][1]["message"]


async def test_files_of_other_spreadsheets_are_read(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, TEA=0)
    for text in ("\ufeffSKU;Quantity\r\nTEA;4\r\n", "Sku\tquantity\nTEA\t4\n", '"sku","quantity"\n"TEA"," 4 "'):
        _, body = await send(client, text.encode(), "?kind=set")
        assert [(item["status"], item["onHand"]) for item in body["items"]] == [("applied", 4)]


async def test_what_a_store_did_not_answer_is_said_and_the_rest_not_tried(
    shop: Shop, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stock(shop, TEA=0)

    async def away(*_: object) -> None:
        raise Unavailable("The store did not accept the change in time")

    rows = HEADER + "TEA,receive,1,,,\n" * 1_000
    with monkeypatch.context() as patched:
        patched.setattr(shop.ledger, "_commit", away)
        patched.setattr(shop.ledger.group, "_commit", away)
        _, body = await send(client, rows, key="file-1")
    assert (body["complete"], body["done"]) == (False, 0)
    assert set(statuses(body)) == {"unknown", "not_tried"}
    _, body = await send(client, rows, key="file-1")
    assert (body["complete"], body["done"], (await shop.inventory.get("TEA")).on_hand) == (True, 1_000, 1_000)


async def test_the_list_as_csv_is_all_of_it_and_comes_back_as_a_count(
    shop: Shop, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.inventory.usecases.EXPORTED_AT_ONCE", 2)
    await stock(shop, A=1, B=2, C=3, D=0, E=5)
    async with client.get("/api/inventory?format=csv") as response:
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        text = await response.text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["sku"], row["onHand"], row["version"], row["onSale"]) for row in rows] == [
        ("A", "1", "1", "true"),
        ("B", "2", "1", "true"),
        ("C", "3", "1", "true"),
        ("D", "0", "0", "true"),
        ("E", "5", "1", "true"),
    ]
    await shop.inventory.adjust("E", -1, "sold meanwhile", "test")
    _, body = await send(client, text)
    assert statuses(body) == ["applied"] * 5
    assert (await shop.inventory.get("E")).on_hand == 4  # what left the shelf after the version stays booked
    _, body = await send(client, text)
    assert [item["code"] for item in body["items"]] == ["counted_since"] * 5


async def test_the_list_as_json_lines_and_filtered(shop: Shop, client: aiohttp.ClientSession) -> None:
    await stock(shop, TEA=50, TIN=1, CUP=1)
    async with client.get("/api/inventory?format=jsonl&prefix=T&low=true") as response:
        lines = (await response.text()).splitlines()
    assert len(lines) == 1
    assert '"sku":"TIN"' in lines[0]
    async with client.head("/api/inventory?format=csv") as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
