"""The daily jobs of alerts: look at everything again, then one digest instead of a flood."""

from collections.abc import Mapping
from typing import Any

from service.alerts.models import AlertKind
from service.alerts.usecases import Alerts, Notices, Reconciled
from service.jobs.runner import Job, Progress

DAILY = "0 9 * * *"


def jobs(alerts: Alerts, notices: Notices) -> tuple[Job, ...]:
    async def low_stock_check(progress: Progress) -> Mapping[str, Any]:
        return await _checked(alerts, AlertKind.LOW_STOCK, progress)

    async def out_of_stock_check(progress: Progress) -> Mapping[str, Any]:
        result = await _checked(alerts, AlertKind.OUT_OF_STOCK, progress)
        return {**result, "told": await _told(notices, progress)}

    return Job("low-stock-check", DAILY, low_stock_check), Job("out-of-stock-check", DAILY, out_of_stock_check)


async def _checked(alerts: Alerts, kind: AlertKind, progress: Progress) -> dict[str, Any]:
    checked, reconciled = 0, Reconciled()
    after: str | None = ""
    while after is not None:
        page, after = await alerts.low_skus(after)
        reconciled += await alerts.reconcile(stock.sku for stock in page)
        checked += len(page)
        progress.checkpoint(checked=checked, raised=reconciled.raised, resolved=reconciled.resolved)
    before_id = None
    while found := await alerts.open_alerts(kind, before_id):
        reconciled += await alerts.reconcile(alert.sku for alert in found)
        before_id = found[-1].id
        progress.checkpoint(checked=checked, raised=reconciled.raised, resolved=reconciled.resolved)
    mailed = 0
    while named := await alerts.send_digest(kind):
        mailed += named
        progress.checkpoint(mailed=mailed)
    return {"checked": checked, "raised": reconciled.raised, "resolved": reconciled.resolved, "mailed": mailed}


async def _told(notices: Notices, progress: Progress) -> int:
    told, after_sku = 0, ""
    while skus := await notices.waited_for(after_sku):
        for sku in skus:
            told += await notices.tell(sku)
            progress.checkpoint(told=told)
        after_sku = skus[-1]
    return told
