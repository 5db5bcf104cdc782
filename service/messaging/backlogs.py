"""What waits, as gauges read from the stores at the moment of asking."""

from prometheus_client.core import GaugeMetricFamily, Metric

from service.infra.lasting_metrics import LastingMetrics
from service.messaging.dead_letters import DeadLetters
from service.messaging.deliveries import Deliveries
from service.messaging.outbox import Outbox


class Backlogs:
    def __init__(
        self, outbox: Outbox, deliveries: Deliveries, dead_letters: DeadLetters, lasting: LastingMetrics
    ) -> None:
        self._outbox, self._deliveries, self._dead_letters, self._lasting = outbox, deliveries, dead_letters, lasting

    async def families(self) -> list[Metric]:
        """The gauges, and with them what all processes count together."""
        entries, age_seconds = await self._outbox.backlog()
        deliveries = GaugeMetricFamily("holdfast_deliveries_waiting", "Mails and webhooks to send", labels=["channel"])
        for channel, waiting in (await self._deliveries.backlog()).items():
            deliveries.add_metric([channel], waiting)
        return [
            GaugeMetricFamily("holdfast_outbox_waiting", "Outbox entries not relayed yet", value=entries),
            GaugeMetricFamily("holdfast_outbox_oldest_seconds", "How long the oldest has waited", value=age_seconds),
            GaugeMetricFamily(
                "holdfast_dead_letters", "Given up and not replayed", value=await self._dead_letters.waiting()
            ),
            deliveries,
            *await self._lasting.families(),
        ]
