"""One rule for e-mail addresses: what is one, and in which form it is kept."""

import pytest

from service.email_address import SENTENCE, BadAddress, ascii_form, parse_address, parse_known_address

KEPT = {
    "ada@example.com": "ada@example.com",
    "  ada@example.com\t": "ada@example.com",
    "Ada.Lovelace+shop@EXAMPLE.Com": "Ada.Lovelace+shop@example.com",
    "user@m\u00fcnchen.de": "user@m\u00fcnchen.de",
    "user@xn--mnchen-3ya.de": "user@m\u00fcnchen.de",
    "user@mu\u0308nchen.de": "user@m\u00fcnchen.de",
    "u@例子.中国": "u@例子.中国",
    "o'hara@example.co.uk": "o'hara@example.co.uk",
}
NO_ADDRESSES = [
    *(
        "",
        " ",
        "root",
        "@",
        "ada@",
        "@example.com",
        "ada@example",
        "ada@localhost",
        "a b@example.com",
        "ada@exa mple.com",
    ),
    *("ada..b@example.com", ".ada@example.com", "ada.@example.com", "ada@-example.com", "ada@example..com"),
    *("ada@example.com, bob@example.com", "Ada <ada@example.com>", "ada@[127.0.0.1]", "ada\x00@example.com"),
    *("ada@exam\nple.com", "ada\uff20example.com", "a" * 65 + "@example.com", "ada@" + "a" * 250 + ".com"),
    *("ada@host.invalid", "ada@xn--.de"),
]


@pytest.mark.parametrize("typed", KEPT)
def test_an_address_is_kept_in_one_form(typed: str) -> None:
    assert parse_address(typed) == KEPT[typed]
    assert parse_address(parse_address(typed)) == KEPT[typed]


@pytest.mark.parametrize("typed", NO_ADDRESSES)
def test_what_is_no_address_is_refused_in_one_sentence(typed: str) -> None:
    with pytest.raises(BadAddress) as refused:
        parse_address(typed, "to")
    assert refused.value.extra["errors"] == [{"path": "to", "message": SENTENCE}]


def test_an_account_from_before_the_rule_is_still_found() -> None:
    assert parse_known_address(" admin@shop.local ") == "admin@shop.local"
    assert parse_known_address("Ada@EXAMPLE.com") == "Ada@example.com"
    for nonsense in ("root", "a b@c", "ada@example.com\n<script>"):
        with pytest.raises(BadAddress):
            parse_known_address(nonsense)


def test_over_smtp_the_domain_goes_as_the_dns_has_it() -> None:
    assert ascii_form("user@m\u00fcnchen.de") == "user@xn--mnchen-3ya.de"
    assert ascii_form("ada@example.com") == "ada@example.com"
    assert ascii_form("\u00fc@m\u00fcnchen.de") == "\u00fc@m\u00fcnchen.de"
