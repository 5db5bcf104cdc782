"""Pricing of an order's lines: at the catalogue's prices, and within what may be ordered at once. Pure."""

from collections.abc import Mapping, Sequence

from service.catalog.offers import Offer
from service.inventory.models import Line
from service.orders.models import OrderLine, OrderTooLarge, TotalChanged, UnknownItems, VerificationNeeded

TOTAL_MAX = 10**12  # minor units


def priced(lines: Sequence[Line], offers: Mapping[str, Offer]) -> tuple[OrderLine, ...]:
    """Raises UnknownItems, which names every line that is not sold and why."""
    missing = [(number, line.sku) for number, line in enumerate(lines) if not _is_live(offers.get(line.sku))]
    if missing:
        raise UnknownItems(
            errors=[{"path": f"items[{number}].sku", "message": f"{sku} is not sold here"} for number, sku in missing],
            unavailable=[{"sku": sku, "reason": "archived" if sku in offers else "unknown"} for _, sku in missing],
        )
    return tuple(_line(line, offers[line.sku]) for line in lines)


def check_quantities(lines: Sequence[Line], offers: Mapping[str, Offer], sku_units_max: float) -> None:
    """Refuses a line above its SKU's maximum: the offer's own, or what the shop allows of any."""
    limits = {line.sku: offers[line.sku].max_per_order or sku_units_max for line in lines}
    above = [(number, line) for number, line in enumerate(lines) if line.quantity > limits[line.sku]]
    if above:
        raise OrderTooLarge(
            "Some lines ask for more than may be ordered at once",
            errors=[
                {
                    "path": f"items[{number}].quantity",
                    "message": f"At most {limits[line.sku]:.0f} of {line.sku} an order",
                }
                for number, line in above
            ],
            limits=[{"sku": line.sku, "maxPerOrder": int(limits[line.sku])} for _, line in above],
        )


def check_account(lines: Sequence[Line], offers: Mapping[str, Offer], verified: bool) -> None:
    """Scarce goods may be kept for accounts whose e-mail address is known to be theirs."""
    kept = [line.sku for line in lines if offers[line.sku].verified_only]
    if kept and not verified:
        raise VerificationNeeded(f"Verify your e-mail address first to order {', '.join(kept)}", skus=kept)


def check_size(lines: Sequence[OrderLine], lines_max: int) -> int:
    """The subtotal. Raises OrderTooLarge."""
    if len(lines) > lines_max:
        raise OrderTooLarge(f"An order has at most {lines_max} lines")
    subtotal = sum(line.line_total for line in lines)
    if subtotal > TOTAL_MAX:
        raise OrderTooLarge(f"An order comes to at most {TOTAL_MAX} minor units")
    return subtotal


def check_total(expected: int | None, total: int, currency: str) -> None:
    """Nobody is charged another total than the one they saw."""
    if expected is not None and expected != total:
        raise TotalChanged(total={"amount": total, "currency": currency}, expectedTotal=expected)


def _is_live(offer: Offer | None) -> bool:
    return offer is not None and offer.active


def _line(line: Line, offer: Offer) -> OrderLine:
    return OrderLine(line.sku, offer.product_id, offer.name, line.quantity, offer.unit_price)
