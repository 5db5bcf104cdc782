"""The consumer of facts that ends the current version of cached answers when a product has changed."""

from collections.abc import Sequence

from service.events import ProductChanged
from service.infra.redis.cache_version import Generation
from service.messaging.outbox import Fact
from service.messaging.relay import Consumer


def end_on_change(generation: Generation) -> Consumer:
    """The consumer that ends the generation when a product has changed."""

    async def follow(facts: Sequence[Fact]) -> None:
        if any(isinstance(fact.event, ProductChanged) for fact in facts):
            await generation.end()

    return follow
