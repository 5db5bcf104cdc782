"""Whom a request is counted for."""

from types import SimpleNamespace
from typing import Any

import pytest
from sanic.compat import Header

from service.web.http.client_address import ClientAddresses, normalized


def request(peer: str, *forwarded: str) -> Any:
    headers = Header([("x-forwarded-for", value) for value in forwarded])
    return SimpleNamespace(conn_info=SimpleNamespace(client_ip=peer, ctx=SimpleNamespace()), headers=headers)


def test_without_a_trusted_proxy_nobody_can_choose_an_address() -> None:
    assert ClientAddresses("").of(request("203.0.113.9", "198.51.100.1")) == "203.0.113.9"


def test_a_stranger_is_not_believed_where_a_proxy_is_trusted() -> None:
    assert ClientAddresses("10.0.0.1").of(request("203.0.113.9", "198.51.100.1")) == "203.0.113.9"


@pytest.mark.parametrize(
    "forwarded",
    [
        ("198.51.100.1",),
        ("6.6.6.6, 198.51.100.1",),
        ("6.6.6.6", "198.51.100.1"),
        ("6.6.6.6, 198.51.100.1, 10.0.0.2",),
        ("nonsense, 198.51.100.1",),
    ],
)
def test_behind_trusted_proxies_the_last_untrusted_hop_is_the_client(forwarded: tuple[str, ...]) -> None:
    assert ClientAddresses("10.0.0.1, 10.0.0.2").of(request("10.0.0.1", *forwarded)) == "198.51.100.1"


@pytest.mark.parametrize(
    "trusted", ["10.0.0.0/8", "10.0.0.1", "::ffff:10.0.0.1", "::ffff:10.0.0.0/104", "2001:db8::/32,10.0.0.0/30"]
)
@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1"])
@pytest.mark.parametrize(
    "hop", ["198.51.100.1", "198.51.100.1:4711", "::ffff:198.51.100.1", "[::ffff:198.51.100.1]:443"]
)
def test_a_proxy_is_known_by_its_network_and_a_client_by_its_address_however_they_are_written(
    trusted: str, peer: str, hop: str
) -> None:
    assert ClientAddresses(trusted).of(request(peer, f"6.6.6.6, {hop}")) == "198.51.100.1"


def test_an_ipv6_hop_with_a_port_counts_by_its_prefix() -> None:
    assert ClientAddresses("10.0.0.0/8").of(request("10.9.9.9", "[2001:db8:1:2::1]:443")) == "2001:db8:1:2::/64"


@pytest.mark.parametrize("trusted", ["proxy", "10.0.0.0/33", "10.0.0.5/8", "0.0.0.0/0", "*"])
def test_what_is_no_network_is_refused_and_never_silently_trusts_nobody(trusted: str) -> None:
    with pytest.raises(ValueError):
        ClientAddresses(trusted)


def test_a_proxy_that_forwards_for_nobody_is_the_client_itself() -> None:
    assert ClientAddresses("10.0.0.1").of(request("10.0.0.1")) == "10.0.0.1"


def test_an_ipv6_customer_counts_as_one_whatever_address_of_his_prefix_he_uses() -> None:
    assert normalized("2001:db8:1:2:3::1") == normalized("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert normalized("2001:db8:1:3::1") != normalized("2001:db8:1:2::1")
    assert normalized("::ffff:203.0.113.9") == "203.0.113.9"


def test_what_is_no_address_is_kept_short() -> None:
    assert len(normalized("x" * 10_000)) == 64
