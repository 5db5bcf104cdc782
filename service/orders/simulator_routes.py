"""/api/orders/simulator: plays the page of a customer's bank, where the simulator is the payment provider."""

from sanic import Blueprint

from service.orders.schemas import AuthenticationBody
from service.orders.settlement import Settlement
from service.payments.models import PaymentSessionNotFound
from service.payments.simulator import SimulatedGateway
from service.web.http.access import Access
from service.web.http.operation import Call, Reply, operation


def routes(gateway: SimulatedGateway, settlement: Settlement) -> Blueprint:
    blueprint = Blueprint("payment_simulator", url_prefix="/api/orders/simulator")

    @operation(
        blueprint,
        "POST",
        "/authenticate",
        "Play the customer's bank: agree to a payment that requires action, or not",
        takes=AuthenticationBody,
        returns={204: None},
        access=Access.PUBLIC,
        limit="webhook",
        errors=(PaymentSessionNotFound,),
    )
    async def authenticate(call: Call[AuthenticationBody]) -> Reply:
        """For payment methods whose name has `authenticate` in it, such as `pm_card_authenticate`, and only where the
        simulator is the provider. The order follows at once, as it does with the event of a real one."""
        payment_id = await gateway.authenticate(call.taken.client_secret, agrees=call.taken.agrees)
        if payment_id is None:
            raise PaymentSessionNotFound()
        await settlement.settled_by_provider(payment_id)
        return Reply(204)

    return blueprint
