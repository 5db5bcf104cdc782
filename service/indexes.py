"""Every index that the service declares."""

from service.alerts.indexes import INDEXES as ALERTS_INDEXES
from service.auth.indexes import INDEXES as AUTH_INDEXES
from service.cart.indexes import INDEXES as CART_INDEXES
from service.catalog.indexes import INDEXES as CATALOG_INDEXES
from service.infra.mongo.indexes import Index
from service.inventory.indexes import INDEXES as INVENTORY_INDEXES
from service.jobs.repository import INDEXES as JOB_INDEXES
from service.messaging.dead_letters import INDEXES as DEAD_LETTER_INDEXES
from service.messaging.deliveries import INDEXES as DELIVERY_INDEXES
from service.messaging.outbox import INDEXES as OUTBOX_INDEXES
from service.orders.indexes import INDEXES as ORDERS_INDEXES
from service.payments.indexes import INDEXES as PAYMENTS_INDEXES

INDEXES: tuple[Index, ...] = (
    *ALERTS_INDEXES,
    *AUTH_INDEXES,
    *DEAD_LETTER_INDEXES,
    *DELIVERY_INDEXES,
    *JOB_INDEXES,
    *OUTBOX_INDEXES,
    *CATALOG_INDEXES,
    *CART_INDEXES,
    *INVENTORY_INDEXES,
    *ORDERS_INDEXES,
    *PAYMENTS_INDEXES,
)
