"""What merging two carts gives, and whose cart is whose."""

from datetime import UTC, datetime

from service.cart.models import Cart, CartLine, LineState, Owner, PricedCart, PricedLine

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def cart(**lines: int) -> Cart:
    return Cart("u:1", tuple(CartLine(sku, quantity, 100, NOW) for sku, quantity in lines.items()))


def merged(mine: Cart, theirs: Cart, quantity_max: int = 100) -> dict[str, int]:
    return {line.sku: line.quantity for line in mine.with_lines_of(theirs, quantity_max)}


def test_merging_adds_up_what_both_have_and_keeps_the_order() -> None:
    assert list(merged(cart(B=1, A=2), cart(C=3, A=4)).items()) == [("B", 1), ("A", 6), ("C", 3)]


def test_merging_stops_at_the_most_that_is_allowed() -> None:
    assert merged(cart(A=60), cart(A=60)) == {"A": 100}


def test_a_guest_can_never_name_a_users_cart() -> None:
    assert Owner.visitor("7").id != Owner.user("7").id
    assert Owner.visitor("u:7").id != Owner.user("7").id


def test_archived_lines_cost_nothing() -> None:
    def line(state: LineState) -> PricedLine:
        return PricedLine("A", "p", "A", "a", "", 2, 100, 5, state, None)

    assert PricedCart((line(LineState.AVAILABLE), line(LineState.ARCHIVED)), "GBP", 1).subtotal == 200
