"""A card number never gets as far as a store or a log."""

import pytest

from service.payments.models import CardNumber, check_method


@pytest.mark.parametrize(
    "method",
    [
        *("4242424242424242", "4242 4242 4242 4242", "4242-4242-4242-4242", "378282246310005", "6011000990139424"),
        *("visa 4111111111111111 12/30", "４２４２４２４２４２４２４２４２", "card:5555.5555.5555.4444"),
    ],
)
def test_a_card_number_is_refused_and_not_repeated(method: str):
    with pytest.raises(CardNumber) as refusal:
        check_method(method)
    assert method not in f"{refusal.value} {refusal.value.extra}"


@pytest.mark.parametrize(
    "method", ["ok", "pm_card_visa", "pm_1N4242424242424242", "4242424242424241", "tok_4111111111111111x", "1234567"]
)
def test_a_token_of_the_provider_is_taken(method: str):
    check_method(method)
