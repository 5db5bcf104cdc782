"""Guests order by e-mail: by their cookie or the order's token they see, pay and cancel what is theirs and nothing
else; what they may hold is counted for the cookie and for the address."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import shops
from whole_site import WholeSite, whole_site

from service.config import Config
from service.messaging.deliveries import Delivery
from service.messaging.mail import Mailer
from service.orders.invariants import Audit
from service.orders.wiring import fills

TEA = [{"sku": "TEA", "quantity": 1}]
ORDERS, EMAIL = "/api/orders/", "ada@example.com"


@pytest.fixture
async def site(config: Config, clock: shops.MovableClock) -> AsyncIterator[WholeSite]:
    async with whole_site(config, clock) as opened:
        await shops.stock(opened.shop, TEA=100)
        yield opened


class Guest:
    """A browser that keeps its cookies."""

    def __init__(self, site: WholeSite) -> None:
        self.site, self.cookie = site, ""

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        given = {**headers, **({"Cookie": self.cookie} if self.cookie else {})}
        async with self.site.client.request(method, path, json=body, headers=given, allow_redirects=False) as answer:
            self._keep(answer)
            return answer.status, await answer.json(content_type=None) if answer.content_length else None

    async def form(self, path: str, **fields: str) -> tuple[int, str, str]:
        """Status, text, and where it leads."""
        headers = {"Cookie": self.cookie, "Origin": self.site.url, "Accept": "text/html"}
        async with self.site.client.post(path, data=fields, headers=headers, allow_redirects=False) as answer:
            self._keep(answer)
            return answer.status, await answer.text(), answer.headers.get("Location", "")

    async def page(self, path: str) -> tuple[int, str]:
        headers = {"Cookie": self.cookie, "Accept": "text/html"}
        async with self.site.client.get(path, headers=headers) as answer:
            return answer.status, await answer.text()

    def _keep(self, answer: aiohttp.ClientResponse) -> None:
        if "guest" in answer.cookies:
            self.cookie = f"guest={answer.cookies['guest'].value}"

    async def order(self, email: str = EMAIL, items: Any = TEA, **headers: str) -> Any:
        status, made = await self.call("POST", ORDERS, {"items": items, "email": email}, **headers)
        assert status == 201, made
        return made


async def audited(site: WholeSite) -> bool:
    shop = site.shop
    return bool((await Audit(shop.stores.client, shop.stores.database, shop.clock).run())["ok"])


async def test_a_guest_orders_sees_and_pays_under_the_cookie(site: WholeSite) -> None:
    guest = Guest(site)
    made = await guest.order()
    path = f"{ORDERS}{made['order']['id']}"
    assert made["order"]["email"] == EMAIL
    assert (await guest.call("GET", path))[1]["order"]["status"] == "pending"
    status, paid = await guest.call("POST", f"{path}/pay", {"paymentMethod": "pm_card_visa"})
    assert (status, paid["order"]["status"]) == (200, "paid")
    assert await audited(site)


async def test_the_token_opens_the_order_anywhere_and_no_other_order(site: WholeSite) -> None:
    one, other = await Guest(site).order(), await Guest(site).order("bob@example.com")
    path, token = f"{ORDERS}{one['order']['id']}", one["orderToken"]
    stranger = Guest(site)
    assert (await stranger.call("GET", path))[0] == 401
    assert (await stranger.call("GET", path, **{"X-Order-Token": token}))[0] == 200
    elsewhere = f"{ORDERS}{other['order']['id']}"
    for wrong in (token, token[:-1] + "A" * (token[-1] != "A") + "B" * (token[-1] == "A"), "x", "é"):
        status, answer = await stranger.call("GET", elsewhere, **{"X-Order-Token": wrong})
        assert (status, answer["code"]) == (404, "order_not_found")
    status, cancelled = await stranger.call("POST", f"{path}/cancel", **{"X-Order-Token": token})
    assert (status, cancelled["order"]["status"]) == (200, "cancelled")


async def test_another_guest_and_a_customer_find_nothing_and_staff_find_it(site: WholeSite) -> None:
    path = f"{ORDERS}{(await Guest(site).order())['order']['id']}"
    bob = Guest(site)
    await bob.order("bob@example.com")
    assert (await bob.call("GET", path))[0] == 404
    assert (await bob.call("POST", f"{path}/pay", {"paymentMethod": "pm_card_visa"}))[0] == 404
    assert (await site.call("GET", path, caller="customer"))[0] == 404
    assert (await site.call("GET", path, caller="staff"))[0] == 200


async def test_who_is_nobody_is_told_what_to_send(site: WholeSite) -> None:
    status, answer = await Guest(site).call("POST", ORDERS, {"items": TEA})
    assert (status, answer["code"]) == (401, "unauthenticated")
    assert "email" in answer["detail"]
    status, answer = await Guest(site).call("POST", ORDERS, {"items": TEA, "email": "not an address"})
    assert (status, answer["errors"][0]["path"]) == (422, "email")
    status, answer = await site.call("POST", ORDERS, {"items": TEA, "email": EMAIL}, "customer")
    assert (status, answer["errors"][0]["path"]) == (422, "email")


async def test_a_repeated_checkout_is_one_order_with_the_cookie_and_without(site: WholeSite) -> None:
    key = {"Idempotency-Key": "lost-answer"}
    first, again = await Guest(site).order(**key), await Guest(site).order(**key)
    assert again["order"]["id"] == first["order"]["id"], "the answer was lost, the cookie with it"
    assert again["orderToken"] is None, "it goes to the address, and to nobody who says the same"
    guest = Guest(site)
    await guest.order("bob@example.com")
    made = [await guest.order("bob@example.com", **key) for _ in range(2)]
    assert made[0] == made[1]
    assert made[0]["order"]["id"] != first["order"]["id"], "no two guests share a key"


async def test_what_a_guest_holds_is_counted_for_the_address_and_for_the_cookie(
    config: Config, clock: shops.MovableClock
) -> None:
    async with whole_site(replace(config, open_holds_unverified_max=2), clock) as site:
        await shops.stock(site.shop, TEA=100)
        body = {"items": TEA, "email": "Ada@Example.com"}
        answers = await asyncio.gather(*(Guest(site).call("POST", ORDERS, body) for _ in range(5)))
        assert sorted(status for status, _ in answers) == [201, 201, 409, 409, 409], "new cookies do not help"
        guest = Guest(site)
        for name in ("one", "two"):
            await guest.order(f"{name}@example.com")
        status, answer = await guest.call("POST", ORDERS, {"items": TEA, "email": "three@example.com"})
        assert (status, answer["code"]) == (409, "too_much_held"), "nor do new addresses"
        assert (await Guest(site).call("POST", ORDERS, {"items": TEA, "email": "four@example.com"}))[0] == 201
        assert await audited(site)


async def test_the_confirmation_has_a_link_that_opens_the_order_and_the_database_has_none(
    site: WholeSite, config: Config
) -> None:
    made = await Guest(site).order()
    outbox = await site.shop.stores.database["outbox"].find().to_list(None)
    mail = next(fact for entry in outbox for fact in entry["facts"] if fact.get("template") == "guest_order")
    assert mail["to"] == EMAIL
    for name in await site.shop.stores.database.list_collection_names():
        assert made["orderToken"] not in str(await site.shop.stores.database[name].find().to_list(None)), name
    delivery = Delivery("mail:1", "mail", EMAIL, {"template": mail["template"], "values": mail["values"]})
    mailer = Mailer(site.shop.clock, replace(config, smtp_url="smtp://localhost"), fills(config))
    written = mailer.write(delivery)
    body = written.get_body(("plain",))
    assert body is not None
    link = re.search(r"http\S+(/orders/\S+)", body.get_content())
    assert link is not None
    status, page = await Guest(site).page(link[1])
    assert (status, made["order"]["number"] in page) == (200, True)


async def test_an_account_claims_a_settled_order_once_it_has_verified_the_address(site: WholeSite) -> None:
    guest = Guest(site)
    made = await guest.order()
    path = f"{ORDERS}{made['order']['id']}"
    await site.log_in("ada")
    users = site.shop.stores.database["users"]
    await users.update_one({"email": EMAIL}, {"$set": {"emailVerified": False}})
    assert (await site.call("POST", f"{path}/claim", caller="ada"))[1]["code"] == "verification_needed"
    await users.update_one({"email": EMAIL}, {"$set": {"emailVerified": True}})
    assert (await site.call("POST", f"{path}/claim", caller="ada"))[1]["code"] == "not_claimable"
    await guest.call("POST", f"{path}/pay", {"paymentMethod": "pm_card_visa"})
    assert (await site.call("POST", f"{path}/claim", caller="customer"))[0] == 404, "another address"
    status, claimed = await site.call("POST", f"{path}/claim", caller="ada")
    assert (status, claimed["order"]["email"]) == (200, None)
    assert [item["id"] for item in (await site.call("GET", ORDERS, caller="ada"))[1]["items"]] == [made["order"]["id"]]
    assert (await guest.call("GET", path, **{"X-Order-Token": made["orderToken"]}))[0] == 404
    assert await audited(site)


async def test_two_claims_at_once_are_one(site: WholeSite) -> None:
    guest = Guest(site)
    made = await guest.order()
    path = f"{ORDERS}{made['order']['id']}"
    await guest.call("POST", f"{path}/cancel")
    await site.log_in("ada")
    await site.shop.stores.database["users"].update_one({"email": EMAIL}, {"$set": {"emailVerified": True}})
    answers = await asyncio.gather(*(site.call("POST", f"{path}/claim", caller="ada") for _ in range(4)))
    assert [status for status, _ in answers].count(200) == 1
    assert await audited(site)


async def test_a_guest_is_forgotten_and_the_order_kept(site: WholeSite) -> None:
    guest = Guest(site)
    status, made = await guest.call(
        "POST", ORDERS, {"items": TEA, "email": EMAIL, "shippingAddress": {"line1": "12 St James's Square"}}
    )
    assert status == 201
    path = f"{ORDERS}{made['order']['id']}"
    assert (await site.call("POST", f"{path}/forget", caller="admin"))[0] == 409, "it can still be paid"
    await guest.call("POST", f"{path}/pay", {"paymentMethod": "pm_card_visa"})
    assert (await site.call("POST", f"{path}/forget", caller="staff"))[0] == 403
    assert (await site.call("POST", f"{path}/forget", caller="admin"))[0] == 204
    kept = (await site.call("GET", path, caller="admin"))[1]["order"]
    assert (kept["email"], kept["shippingAddress"], kept["status"]) == (None, None, "paid")
    assert (await Guest(site).call("GET", path, **{"X-Order-Token": made["orderToken"]}))[0] == 404


async def test_the_pages_take_a_guest_from_the_cart_to_a_paid_order_without_a_script(site: WholeSite) -> None:
    guest = Guest(site)
    await guest.form("/cart/items", sku="TEA", quantity="2")
    assert 'name="email"' in (await guest.page("/cart"))[1]
    assert (await guest.form("/checkout", idempotencyKey="k1"))[2] == "/login?next=%2Fcart"
    status, page, _ = await guest.form("/checkout", idempotencyKey="k1", email="nobody@")
    assert (status, "Enter an e-mail address" in page, 'value="nobody@"' in page) == (422, True, True)
    status, _, order = await guest.form("/checkout", idempotencyKey="k1", email=EMAIL)
    assert status == 303
    assert order.startswith("/orders/")
    assert (await guest.form("/checkout", idempotencyKey="k1", email=EMAIL))[2] == order, "sent twice, ordered once"
    assert EMAIL in (await guest.page(order))[1]
    status, _, back = await guest.form(f"{order}/pay", paymentMethod="pm_card_visa", idempotencyKey="k2")
    assert (status, back) == (303, order)
    assert "paid" in (await guest.page(order))[1]
    assert "Your cart is empty" in (await guest.page("/cart"))[1]


async def test_the_mailed_link_pays_and_cancels_without_a_cookie(site: WholeSite) -> None:
    for verb, ends in (("pay", "paid"), ("cancel", "cancelled")):
        made = await Guest(site).order(f"{verb}@example.com")
        order, token = f"/orders/{made['order']['id']}", made["orderToken"]
        stranger = Guest(site)
        assert f'name="token" value="{token}"' in (await stranger.page(f"{order}?token={token}"))[1]
        sent = await stranger.form(f"{order}/{verb}", paymentMethod="pm_card_visa", idempotencyKey="k", token=token)
        assert (sent[0], sent[2]) == (303, f"{order}?token={token}")
        assert ends in (await stranger.page(f"{order}?token={token}"))[1]
        assert (await stranger.page(order))[0] == 401


async def test_a_page_of_another_site_orders_nothing_for_a_guest(site: WholeSite) -> None:
    guest = Guest(site)
    made = await guest.order()
    status, answer = await guest.call(
        "POST", f"{ORDERS}{made['order']['id']}/cancel", Origin="https://elsewhere.example"
    )
    assert (status, answer["code"]) == (403, "csrf_failed")
