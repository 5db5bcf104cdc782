"""Hold limits of an account: what the ledger is told of how much a customer may hold unpaid.

An account that never showed that its e-mail address is its own holds fewer and smaller: making another one is free.
The limits themselves are kept by the ledger, in the posting that places the order."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from msgspec.structs import replace

from service.catalog.offers import Offer
from service.config import Config
from service.infra.batcher import Batcher
from service.inventory.allowance import Allowance

LIFTED_FROM_SCALE = 1_000  # a load test's: then nothing is counted


class BuyerAccounts(Protocol):
    async def verified_among(self, user_ids: Collection[str]) -> set[str]:
        """Those of the accounts whose e-mail address is known to be theirs."""

    async def verified_address(self, user_id: str) -> str | None:
        """The account's e-mail address, if it is known to be theirs."""


class AccountHoldLimits:
    def __init__(self, accounts: BuyerAccounts, config: Config) -> None:
        self._accounts, self.lifted = accounts, config.rate_limit_scale >= LIFTED_FROM_SCALE
        self.sku_units_max = config.order_units_per_sku_max * config.rate_limit_scale
        self._verified: Batcher[str, bool] = Batcher(
            self._verified_together, items_max=config.batch_postings_max, waiting_max=config.postings_waiting_max
        )
        self.verified = _allowance(
            config, config.open_holds_per_user_max, config.held_units_per_user_max, config.order_units_per_sku_max
        )
        self.unverified = _allowance(
            config,
            config.open_holds_unverified_max,
            config.held_units_unverified_max,
            config.order_units_per_sku_unverified_max,
        )

    async def is_verified(self, user_id: str) -> bool:
        return await self._verified(user_id)

    async def verified_address(self, user_id: str) -> str | None:
        return await self._accounts.verified_address(user_id)

    def allowance(self, verified: bool, offers: Mapping[str, Offer]) -> Allowance | None:
        """What the customer may hold of these SKUs and in all. None: as much as there is."""
        if self.lifted:
            return None
        allowed = self.verified if verified else self.unverified
        own = {sku: offer.max_per_order for sku, offer in offers.items() if offer.max_per_order is not None}
        if not verified:
            own = {sku: min(sku_max, allowed.sku_units_max) for sku, sku_max in own.items()}
        return replace(allowed, sku_limits=own) if own else allowed

    async def _verified_together(self, batch: Sequence[str]) -> Sequence[bool]:
        verified = await self._accounts.verified_among(set(batch))
        return [user_id in verified for user_id in batch]


def _allowance(config: Config, orders_max: int, units_max: int, sku_units_max: int) -> Allowance:
    scale = config.rate_limit_scale
    return Allowance(
        orders_max=max(1, round(orders_max * scale)),
        units_max=max(1, round(units_max * scale)),
        sku_units_max=max(1, round(sku_units_max * scale)),
        sku_limits={},
        lapses_free=max(1, round(config.unpaid_holds_free * scale)),
        wait_seconds=config.unpaid_holds_wait_seconds,
        wait_max_seconds=config.unpaid_holds_wait_max_seconds,
        remembered_seconds=config.unpaid_holds_remembered_seconds,
        hold_seconds=config.reservation_ttl_seconds,
    )
