"""Wires inventory: the ledger, which alone writes stock, and what may be asked of it."""

from dataclasses import dataclass

from service.infra.stores import Stores
from service.inventory.ledger import Ledger
from service.inventory.repository import InventoryRepository, LedgerStore
from service.inventory.usecases import Inventory
from service.messaging.unit_of_work import UnitOfWork
from service.runtime import Runtime


@dataclass(frozen=True, slots=True)
class InventoryDomain:
    ledger: Ledger
    inventory: Inventory


def wire(runtime: Runtime, stores: Stores, work: UnitOfWork) -> InventoryDomain:
    clock, config = runtime.clock, runtime.config
    ledger = Ledger(LedgerStore(stores.runner, config), work.transactions, work.outbox, clock, config)
    return InventoryDomain(ledger, Inventory(InventoryRepository(stores.database), ledger, clock, config))
