"""Owns the load of a torture round and the buyers' own books: what each asked for, under which key, and what it was
told. An answer that never came, or a 5xx, leaves an operation unknown until the same key is asked again."""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from workloads.client import api
from workloads.client.accounts import Account
from workloads.client.exchange import Exchange, HttpAnswer, Request

DONE, REFUSED, UNKNOWN = "done", "refused", "unknown"
PAUSE_MAX_SECONDS = 0.05
RETRY_PAUSE_SECONDS = 0.5
ORDER_PAGES_MAX = 10_000
BUSY = {"idempotency_in_progress", "payment_in_progress", "payment_unknown"}
MakeRequest = Callable[[str], Request]  # from an access token
WALK_AWAY_SHARE, CANCEL_SHARE, BAD_CARD_SHARE = 0.15, 0.1, 0.1


@dataclass(slots=True)
class BuyerOperation:
    """`order_id` is of the order it is about, once known; `code` why it was refused."""

    kind: str
    key: str
    lines: tuple[tuple[str, int], ...] = ()
    order_id: str = ""
    card_is_good: bool = True
    outcome: str = UNKNOWN
    code: str = ""
    was_unknown: bool = False


@dataclass(slots=True)
class Buyer:
    """One account and everything it did in this round. Times are of the exchange's clock, in seconds."""

    account: Account
    exchange: Exchange
    operations: list[BuyerOperation] = field(default_factory=list)
    checkouts_done_at: list[float] = field(default_factory=list)

    async def shop_until(self, stop: asyncio.Event, skus: tuple[str, ...], chance: random.Random) -> None:
        while not stop.is_set():
            await self._buy_once(skus, chance)
            await asyncio.sleep(chance.random() * PAUSE_MAX_SECONDS)

    async def _buy_once(self, skus: tuple[str, ...], chance: random.Random) -> None:
        lines = tuple((sku, chance.randint(1, 2)) for sku in chance.sample(skus, chance.randint(1, 2)))
        checkout = await self._carry_out(BuyerOperation("checkout", self._next_key(), lines))
        if checkout.outcome != DONE:
            return
        fate = chance.random()
        if fate < WALK_AWAY_SHARE:
            return
        kind = "cancel" if fate < WALK_AWAY_SHARE + CANCEL_SHARE else "pay"
        good = chance.random() >= BAD_CARD_SHARE
        await self._carry_out(BuyerOperation(kind, self._next_key(), lines, checkout.order_id, good))

    async def settle_unknowns(self, deadline: float) -> None:
        """Asks again under the same keys until every operation has a definite answer, or the time is up."""
        while self.exchange.clock.now() < deadline and any(self.unknown()):
            for operation in list(self.unknown()):
                await self._ask(operation)
            if any(self.unknown()):
                await asyncio.sleep(RETRY_PAUSE_SECONDS)

    def unknown(self) -> Iterator[BuyerOperation]:
        return (operation for operation in self.operations if operation.outcome == UNKNOWN)

    def done(self, kind: str) -> Iterator[BuyerOperation]:
        return (each for each in self.operations if each.kind == kind and each.outcome == DONE)

    async def orders(self) -> dict[str, Mapping[str, object]]:
        """This account's orders as the shop tells them, by id. Raises LookupError when it does not."""
        found: dict[str, Mapping[str, object]] = {}
        cursor: str | None = None
        for _ in range(ORDER_PAGES_MAX):
            answer = await self._send(partial(api.orders, cursor=cursor))
            if answer.status != 200:
                raise LookupError(f"the orders of {self.account.email}: {answer.status} {answer.code}")
            page = answer.json()
            found |= {order["id"]: order for order in page["items"]}
            cursor = page["nextCursor"]
            if cursor is None:
                return found
        raise LookupError(f"the orders of {self.account.email} do not end after {ORDER_PAGES_MAX:,} pages")

    async def _carry_out(self, operation: BuyerOperation) -> BuyerOperation:
        self.operations.append(operation)
        await self._ask(operation)
        operation.was_unknown = operation.outcome == UNKNOWN
        if operation.was_unknown:  # a person would not hammer a shop that does not answer either
            await asyncio.sleep(RETRY_PAUSE_SECONDS)
        return operation

    async def _ask(self, operation: BuyerOperation) -> None:
        answer = await self._send(lambda token: _request(operation, token))
        if answer.status in (200, 201):
            operation.outcome = DONE
            if operation.kind == "checkout":
                operation.order_id = answer.json()["order"]["id"]
                self.checkouts_done_at.append(answer.done)
        elif 400 <= answer.status < 500 and answer.status not in (401, 408, 429) and answer.code not in BUSY:
            operation.outcome, operation.code = REFUSED, answer.code

    async def _send(self, make: MakeRequest) -> HttpAnswer:
        """A session that is gone (Redis lost it) is opened anew; a 401 says that nothing happened."""
        answer = await self.exchange.send(make(await self.account.token(self.exchange)))
        if answer.status == 401:
            self.account.refused()
            answer = await self.exchange.send(make(await self.account.token(self.exchange)))
        return answer

    def _next_key(self) -> str:
        return f"{self.account.email}-{len(self.operations)}"


def _request(operation: BuyerOperation, token: str) -> Request:
    if operation.kind == "checkout":
        return api.checkout(token, operation.lines, operation.key)
    if operation.kind == "pay":
        return api.pay(token, operation.order_id, operation.key, card_is_good=operation.card_is_good)
    return api.cancel(token, operation.order_id, operation.key)
