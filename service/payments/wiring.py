"""Wires payments: the provider that the configuration names, and what it tells us."""

from dataclasses import dataclass

from service.infra.stores import Stores
from service.payments.models import EventReader, Gateway
from service.payments.repository import AttemptRepository, EventRepository
from service.payments.simulator import SimulatedGateway
from service.payments.webhooks import SimulatedEvents, Webhooks
from service.runtime import Runtime


@dataclass(frozen=True, slots=True)
class PaymentsDomain:
    gateway: Gateway
    webhooks: Webhooks


def wire(runtime: Runtime, stores: Stores, gateway: Gateway | None) -> PaymentsDomain:
    """On `gateway` instead of the configured one, where it is given."""
    provider, events = _provider(runtime, stores)
    return PaymentsDomain(gateway or provider, Webhooks(events, EventRepository(stores.database), runtime.clock))


def _provider(runtime: Runtime, stores: Stores) -> tuple[Gateway, EventReader]:
    clock, config, database = runtime.clock, runtime.config, stores.database
    if config.payment_gateway == "simulator":
        return SimulatedGateway(database, clock, key=config.key("payment session")), SimulatedEvents(clock, config)
    from service.payments.stripe_gateway import StripeEvents, StripeGateway  # a third of a second, for whoever pays so

    return StripeGateway(AttemptRepository(database), clock, config), StripeEvents(config)
