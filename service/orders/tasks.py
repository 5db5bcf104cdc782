"""The jobs of orders: thin, each calls its use case."""

from collections.abc import Mapping
from typing import Any

from service.infra.lasting_metrics import LastingMetrics
from service.jobs.runner import Job, Progress
from service.orders.expiry import Expiry, Swept
from service.orders.refunds import Refunds
from service.orders.settlement import Settlement
from service.orders.usecases import Orders

EVERY_FIVE_MINUTES = "*/5 * * * *"
EVERY_MINUTE = "* * * * *"
EVERY_HOUR = "17 * * * *"
EVERY_NIGHT = "43 3 * * *"


def jobs(
    expiry: Expiry, orders: Orders, settlement: Settlement, refunds: Refunds, metrics: LastingMetrics
) -> tuple[Job, ...]:
    async def expired_cleanup(progress: Progress) -> Mapping[str, Any]:
        def swept(part: Swept, so_far: int) -> None:
            metrics.observe("holdfast_expiry_lag_seconds", part.lags_seconds)
            progress.say(released=so_far)

        return (await expiry.sweep(swept)).document()

    async def payment_reconcile(progress: Progress) -> Mapping[str, Any]:
        settled = await settlement.reconcile()
        progress.say(settled=settled)
        return {"settled": settled, "refunded": await refunds.reconcile()}

    async def abandoned_orders(progress: Progress) -> Mapping[str, Any]:
        return {"cancelled": await orders.cancel_abandoned()}

    async def unpaid_retention(progress: Progress) -> Mapping[str, Any]:
        return {"deleted": await orders.forget_never_paid()}

    return (
        Job("expired-cleanup", EVERY_FIVE_MINUTES, expired_cleanup),
        Job("payment-reconcile", EVERY_MINUTE, payment_reconcile),
        Job("abandoned-orders", EVERY_HOUR, abandoned_orders),
        Job("unpaid-retention", EVERY_NIGHT, unpaid_retention),
    )
