"""The stock this process left when it last moved a SKU, so that a hot SKU is not read again for every batch.

What is assumed here is never trusted: the ledger's guarded update names it, and fails if another process has moved
the SKU meanwhile. So a wrong assumption costs a second try, and nothing is assumed while others move the same SKUs."""

from collections.abc import Collection, Mapping

from service.inventory.models import Stock

SKUS_MAX = 64  # those moved last: a SKU that is not hot is read, however many or few SKUs the shop has


class KnownStock:
    def __init__(self, assumed_after: int) -> None:
        """`assumed_after`: batches in a row that found the stock as this process had left it."""
        self._assumed_after = assumed_after
        self._left: dict[str, Stock] = {}
        self._agreements = 0

    def assumed(self, skus: Collection[str]) -> dict[str, Stock] | None:
        """All of them, by SKU as a read brings them: two processes then update in one order. None: they have to be
        read."""
        if self._agreements < self._assumed_after:
            return None
        try:
            return {sku: self._left[sku] for sku in sorted(skus)}
        except KeyError:
            return None

    def compare(self, read: Mapping[str, Stock]) -> None:
        """With what a batch has found."""
        seen = [sku for sku in read if sku in self._left]
        if seen:
            self._agreements = self._agreements + 1 if all(self._left[sku] == read[sku] for sku in seen) else 0

    def keep(self, left: Mapping[str, Stock]) -> None:
        """As a committed batch left it."""
        for sku, stock in left.items():
            self._left.pop(sku, None)
            self._left[sku] = stock
        while len(self._left) > SKUS_MAX:
            del self._left[next(iter(self._left))]

    def forget(self) -> None:
        """After a batch that failed, or whose end is not known."""
        self._left.clear()
        self._agreements = 0
