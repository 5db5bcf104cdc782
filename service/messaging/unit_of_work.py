"""Unit of work: transactions, and the outbox for the facts that must follow a commit. They travel as one argument."""

from dataclasses import dataclass

from service.infra.mongo.client import Transactions
from service.messaging.outbox import Outbox


@dataclass(frozen=True, slots=True)
class UnitOfWork:
    transactions: Transactions
    outbox: Outbox
