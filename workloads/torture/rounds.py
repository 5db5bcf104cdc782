"""Owns a round of torture: load, a fault in the middle of it, recovery, every unknown asked again, and the audit."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from workloads.client import api
from workloads.client.accounts import Account, open_accounts, open_staff
from workloads.client.exchange import Exchange, HttpAnswer, Request, json_request
from workloads.client.recorder import Recorder, RunClock
from workloads.torture.buyers import DONE, Buyer
from workloads.torture.faults import Fault, faults_of
from workloads.torture.setups import Setup
from workloads.torture.stack_under_test import HOLD_SECONDS

SKUS = ("hot", "warm", "cold")
BUYERS = 12
UNITS_PER_ROUND = 150
BEFORE_SECONDS = (0.5, 1.5)
AFTER_SECONDS = 0.7
RECOVERY_SECONDS_MAX = 60.0
SETTLE_SECONDS_MAX = 60.0
JOB_SECONDS_MAX = 60.0
REQUEST_SECONDS_MAX = 12.0
READY_SECONDS_MAX = 60.0
SWEEP_PATIENCE_SECONDS = 4.0  # of clocks that were moved


@dataclass(slots=True)
class Round:
    """What came of it. `complaints` are sentences, empty when all was well; `recovery_seconds` is from the moment the
    fault was over (for a lost primary: from its loss) to the next checkout that succeeded."""

    number: int
    setup: str
    fault: str
    orders: int = 0
    paid: int = 0
    refused: int = 0
    unknown_then_known: int = 0
    still_unknown: int = 0
    recovery_seconds: float | None = None
    complaints: list[str] = field(default_factory=list)


class Torture:
    """Rounds on one setup. `ledger` keeps, over all rounds, what the shop said it sold."""

    def __init__(self, setup: Setup, chance: Random) -> None:
        self._setup, self._chance = setup, chance
        self._exchange: Exchange
        self._staff: Account
        self._received = dict.fromkeys(SKUS, 0)
        self._sold = dict.fromkeys(SKUS, 0)
        self._past: list[Buyer] = []

    async def open(self, exchange: Exchange) -> None:
        """A catalogue of three products and a member of staff."""
        self._exchange = exchange
        self._staff = await open_staff(exchange, self._setup.stack.stack)
        for sku in SKUS:
            product = {"name": f"The {sku} one", "price": 250, "category": "torture", "sku": sku}
            answer = await self._as_staff(partial(_post, "/api/products", product))
            assert answer.status == 201, f"no product {sku}: {answer.status} {answer.code}"

    async def round(self, number: int) -> Round:
        fault = self._chance.choice(faults_of(self._setup))
        result = Round(number, self._setup.name, fault.name)
        buyers = await self._open_round(number)
        await self._under_load(buyers, fault, result)
        await self._settle(buyers, result)
        await self._judge(buyers, result)
        self._past += buyers
        return result

    async def _open_round(self, number: int) -> list[Buyer]:
        restock = [(sku, UNITS_PER_ROUND) for sku in SKUS]
        answer = await self._as_staff(lambda token: api.receive(token, restock, f"restock-{number}"))
        assert answer.status == 200, f"no restock: {answer.status} {answer.code}"
        for sku, units in restock:
            self._received[sku] += units
        names = [f"{self._setup.name}-{number}-{buyer}" for buyer in range(BUYERS)]
        accounts = await open_accounts(self._exchange, names)
        return [Buyer(account, self._exchange) for account in accounts.values()]

    async def _under_load(self, buyers: list[Buyer], fault: Fault, result: Round) -> None:
        stop, now = asyncio.Event(), self._exchange.clock.now
        shopping = [
            asyncio.create_task(buyer.shop_until(stop, SKUS, Random(self._chance.random()))) for buyer in buyers
        ]
        try:
            await asyncio.sleep(self._chance.uniform(*BEFORE_SECONDS))
            async with fault.strike(self._setup, self._chance):
                over_at = now()
                recovered_at = await self._recovered(buyers, over_at)
                await asyncio.sleep(AFTER_SECONDS)
            stop.set()
            await asyncio.gather(*shopping)
        finally:
            for task in shopping:
                task.cancel()  # only those of a run that ends early are still going
        if recovered_at is None:
            result.complaints.append(f"no checkout succeeded within {RECOVERY_SECONDS_MAX:.0f} s of {fault.name}")
        else:
            result.recovery_seconds = round(recovered_at - over_at, 3)

    async def _recovered(self, buyers: list[Buyer], since: float) -> float | None:
        while self._exchange.clock.now() < since + RECOVERY_SECONDS_MAX:
            done = [at for buyer in buyers for at in buyer.checkouts_done_at[-1:] if at > since]
            if done:
                return min(done)
            await asyncio.sleep(0.02)
        return None

    async def _settle(self, buyers: list[Buyer], result: Round) -> None:
        """Every unknown operation is asked again; then the holds run out and one sweep frees them."""
        await self._ready(result)
        deadline = self._exchange.clock.now() + SETTLE_SECONDS_MAX
        await asyncio.gather(*(buyer.settle_unknowns(deadline) for buyer in buyers))
        await asyncio.sleep(HOLD_SECONDS + SWEEP_PATIENCE_SECONDS)
        await self._run_job("payment-reconcile", result)
        await self._run_job("expired-cleanup", result)

    async def _ready(self, result: Round) -> None:
        give_up = time.monotonic() + READY_SECONDS_MAX
        while (answer := await self._exchange.send(json_request("GET", "/health/ready", "ready"))).status != 200:
            if time.monotonic() > give_up:
                result.complaints.append(f"not ready {READY_SECONDS_MAX:.0f} s after {result.fault}: {answer.status}")
                return
            await asyncio.sleep(0.2)

    async def _run_job(self, name: str, result: Round) -> None:
        code, document = await asyncio.to_thread(self._setup.stack.ask, "jobs", "run", name)
        if code:
            result.complaints.append(f"the job {name} failed: {document}")

    async def _judge(self, buyers: list[Buyer], result: Round) -> None:
        for buyer in buyers:
            await self._judge_buyer(buyer, result)
        await self._judge_stock(result)
        code, audit = await asyncio.to_thread(self._setup.stack.ask, "audit")
        if code or not audit["ok"]:
            broken = [check for check in audit["checks"] if not check["ok"]]
            result.complaints.append(f"the audit finds: {broken}")

    async def _judge_buyer(self, buyer: Buyer, result: Round) -> None:
        operations = buyer.operations
        result.orders += len(list(buyer.done("checkout")))
        result.paid += len(list(buyer.done("pay")))
        result.refused += sum(each.outcome == "refused" for each in operations)
        result.unknown_then_known += sum(each.was_unknown and each.outcome != "unknown" for each in operations)
        result.still_unknown += len(list(buyer.unknown()))
        orders = await buyer.orders()
        result.complaints += complaints_of(buyer, orders)
        for order in orders.values():
            if order["status"] == "paid":
                for item in order["items"]:  # type: ignore[attr-defined]
                    self._sold[item["sku"]] += item["quantity"]

    async def _judge_stock(self, result: Round) -> None:
        for sku in SKUS:
            answer = await self._as_staff(partial(api.inventory, sku=sku))
            stock = answer.json()
            on_hand = self._received[sku] - self._sold[sku]
            if stock.get("onHand") != on_hand or stock.get("reserved") != 0:
                result.complaints.append(f"{sku}: {stock} where {on_hand} on hand and none reserved should be")

    async def judge_the_past(self) -> list[str]:
        """Every order of every round, once more, at the very end."""
        return [sentence for buyer in self._past for sentence in complaints_of(buyer, await buyer.orders())]

    async def _as_staff(self, make: Callable[[str], Request]) -> HttpAnswer:
        """Tried until the service takes it: setting up a round must not fail for what the last one left behind."""
        give_up = time.monotonic() + READY_SECONDS_MAX
        while True:
            answer = await self._exchange.send(make(await self._staff.token(self._exchange)))
            if answer.status == 401:
                self._staff.refused()
            elif answer.status and answer.status < 500:
                return answer
            if time.monotonic() > give_up:
                return answer
            await asyncio.sleep(0.2)


def complaints_of(buyer: Buyer, orders: dict[str, Any]) -> list[str]:
    """What this buyer was told and the shop no longer says."""
    said: list[str] = []
    acknowledged = [operation.order_id for operation in buyer.done("checkout")]
    if len(set(acknowledged)) != len(acknowledged):
        said.append(f"{buyer.account.email}: two checkouts were given one order: {acknowledged}")
    said += [
        f"{buyer.account.email}: order {lost} was acknowledged and is gone" for lost in set(acknowledged) - set(orders)
    ]
    maybe = sum(operation.kind == "checkout" for operation in buyer.unknown())
    surplus = set(orders) - set(acknowledged)
    if len(surplus) > maybe:
        said.append(f"{buyer.account.email}: {len(surplus)} orders nobody was told of, {maybe} checkouts unknown")
    for operation in buyer.operations:
        status = orders.get(operation.order_id, {}).get("status")
        wanted = _status_after(operation.kind, operation.outcome, operation.code)
        if wanted and status != wanted:
            said.append(
                f"{buyer.account.email}: {operation.kind} {operation.outcome} {operation.code}: order is {status}"
            )
    return said


def _status_after(kind: str, outcome: str, code: str) -> str:
    """What the order must be after such an answer, where the answer says it."""
    if outcome == DONE:
        return {"pay": "paid", "cancel": "cancelled"}.get(kind, "")
    return "cancelled" if kind == "pay" and code in {"payment_declined", "reservation_expired"} else ""


async def run_rounds(
    setup: Setup, numbers: range, seed: int, heard: Callable[[Round], Awaitable[None] | None]
) -> tuple[list[Round], list[str]]:
    """(the rounds, what is wrong with the orders of all of them at the end). `heard` is told each finished round."""
    clock = RunClock(time.time())
    rounds: list[Round] = []
    async with Exchange(setup.stack.stack.url, clock, Recorder(), timeout_seconds=REQUEST_SECONDS_MAX) as exchange:
        torture = Torture(setup, Random(f"{setup.name} {seed}"))
        await torture.open(exchange)
        for number in numbers:
            rounds.append(await torture.round(number))
            heard(rounds[-1])
        return rounds, await torture.judge_the_past()


def _post(path: str, document: dict[str, Any], token: str) -> Request:
    return json_request("POST", path, path, document, api.bearer(token))
