"""Where a sign-in may lead back to."""

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.pages.own_path import own_path

SHOP = "https://shop.example/login"


@pytest.mark.parametrize("path", ["/", "/cart", "/p/blue-jug?utm_source=x&y=%2F%2Fz", "/orders/01a2", "/?q=caf%C3%A9"])
def test_a_path_of_our_own_is_kept(path: str) -> None:
    assert own_path(path) == path


@pytest.mark.parametrize(
    "given",
    [
        "",
        "cart",
        "//evil",
        "/\\evil",
        "\\evil",
        "https://evil",
        "HTTPS:evil",
        "javascript:alert(1)",
        "/\t/evil",
        "/\n//evil",
        "\t//evil",
        "/a b",
        "/a\\b",
        "/\x7f",
        "/\x00",
        "/\u2028x",
        "/" + "a" * 500,
        "/login?next=/login",
        "/logout",
        "data:,x",
    ],
)
def test_anything_else_leads_to_the_front_page(given: str) -> None:
    assert own_path(given) == "/"


@given(st.text(alphabet="/\\:.?#@ \t\r\nabhtps%2F5c\x00\u202e", max_size=30))
def test_whatever_is_kept_stays_on_this_host_as_browsers_read_it(given: str) -> None:
    as_browsers_read = own_path(given).replace("\\", "/")
    for dropped in "\t\r\n":
        as_browsers_read = as_browsers_read.replace(dropped, "")
    assert urlsplit(urljoin(SHOP, as_browsers_read)).netloc == "shop.example"
