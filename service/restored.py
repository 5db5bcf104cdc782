"""`holdfast restored`: to be run once after an older backup of MongoDB was put back, before the processes start.

Redis and everybody who was told something know of a time that never came to be. Sessions end, the stock stream and the
caches are forgotten, a new epoch begins, receivers of webhooks are told, and money that the provider took without the
stores knowing of it is listed: it is a person's to give back."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from service.auth.sessions import SessionStore
from service.commands import with_shop
from service.events import StoresRestored
from service.infra.redis.cache_version import Generation
from service.inventory.tasks import STREAM
from service.messaging.sse_feed import FeedWriter
from service.migration.schema import Epochs
from service.money import spoken
from service.options import as_json, data_option
from service.payments.models import Taken
from service.shop import Shop

EXIT_FAILED = 1
CHARGES_AT_ONCE = 500
CHARGES_SHOWN_MAX = 1_000
BACK = timedelta(days=1)  # an order is paid while its hold lives; a day is longer than any


@dataclass(frozen=True, slots=True)
class Restoration:
    epoch: int
    sessions_ended: int
    since: datetime
    charges: list[Taken]


@click.command()
@data_option
@as_json
@click.option(
    "--since", type=click.DateTime(), help="Ask the provider from then on, UTC.  [default: a day before the last order]"
)
def restored(data: Path, as_json: bool, since: datetime | None) -> int:
    """Tell everybody that an older backup was put back."""
    found: Restoration = with_shop(data, lambda shop: after_restoration(shop, since and since.replace(tzinfo=UTC)))
    click.echo(json.dumps(_document(found)) if as_json else _text(found))
    return EXIT_FAILED if found.charges else 0


async def after_restoration(shop: Shop, since: datetime | None = None) -> Restoration:
    """May be done any number of times."""
    now, stores, config = shop.clock.now(), shop.stores, shop.config
    ended = await SessionStore(stores.redis, shop.clock, config).end_everybodys()
    await FeedWriter(stores.redis, STREAM, config).forget()
    generation = Generation(stores.redis, shop.clock, shop.ids, config)
    await generation.end()
    generation.close()
    epoch = await Epochs(stores.database).begin(now)
    await shop.transactions.run(lambda session: shop.outbox.add([StoresRestored(epoch)], session))
    since = since or await _before_the_last_order(shop)
    return Restoration(epoch, ended, since, await unknown_charges(shop, since))


async def _before_the_last_order(shop: Shop) -> datetime:
    return (await shop.buyers.newest_at() or shop.clock.now()) - BACK


async def unknown_charges(shop: Shop, since: datetime) -> list[Taken]:
    """What the provider has kept of charges that no order knows as its payment."""
    unknown: list[Taken] = []
    waiting: list[Taken] = []

    async def look() -> None:
        known = await shop.buyers.paid_by([each.payment_id for each in waiting])
        unknown.extend(each for each in waiting if each.payment_id not in known)
        waiting.clear()

    async for taken in shop.gateway.taken_since(since):
        if taken.amount:
            waiting.append(taken)
        if len(waiting) == CHARGES_AT_ONCE:
            await look()
    await look()
    return unknown


def _document(found: Restoration) -> dict[str, Any]:
    charges = [
        {
            "paymentId": each.payment_id,
            "orderId": each.order_id,
            "amount": each.amount,
            "currency": each.currency,
            "at": each.at.isoformat(),
        }
        for each in found.charges
    ]
    return {
        "epoch": found.epoch,
        "sessionsEnded": found.sessions_ended,
        "since": found.since.isoformat(),
        "charges": charges,
    }


def _text(found: Restoration) -> str:
    lines = [
        f"{found.sessions_ended} sessions ended, the stock stream and the caches forgotten, epoch {found.epoch} begun",
        f"charges since {found.since:%Y-%m-%d %H:%M} UTC that no order knows: {len(found.charges) or 'none'}",
    ]
    lines += [
        f"  {each.payment_id}  {spoken(each.amount, each.currency)}  {each.at:%Y-%m-%d %H:%M:%S}  "
        f"order {each.order_id or 'unknown'}"
        for each in found.charges[:CHARGES_SHOWN_MAX]
    ]
    if len(found.charges) > CHARGES_SHOWN_MAX:
        lines.append(f"  and {len(found.charges) - CHARGES_SHOWN_MAX} more: --json names all")
    return "\n".join([*lines, "next: `holdfast audit`, then start the processes"])
