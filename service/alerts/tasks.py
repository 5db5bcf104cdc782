"""The daily jobs of alerts: look at everything again, then one digest instead of a flood."""

from collections.abc import Mapping
from typing import Any

from service.alerts.models import AlertKind
from service.alerts.usecases import Alerts, Looked, Notices
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
    checked, looked = 0, Looked()
    after: str | None = ""
    while after is not None:
        page, after = await alerts.low_skus(after)
        looked += await alerts.look_at(stock.sku for stock in page)
        checked += len(page)
        progress.say(checked=checked, raised=looked.raised, resolved=looked.resolved)
    before_id = None
    while found := await alerts.open_alerts(kind, before_id):
        looked += await alerts.look_at(alert.sku for alert in found)
        before_id = found[-1].id
        progress.say(checked=checked, raised=looked.raised, resolved=looked.resolved)
    mailed = 0
    while named := await alerts.send_digest(kind):
        mailed += named
        progress.say(mailed=mailed)
    return {"checked": checked, "raised": looked.raised, "resolved": looked.resolved, "mailed": mailed}


async def _told(notices: Notices, progress: Progress) -> int:
    told, after_sku = 0, ""
    while skus := await notices.waited_for(after_sku):
        for sku in skus:
            told += await notices.tell(sku)
            progress.say(told=told)
        after_sku = skus[-1]
    return told
