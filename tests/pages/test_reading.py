"""Addresses as people and campaigns make them: pages for browsers, problem documents for programs."""

import re

import pytest
from browsed import Site
from visitor import Visitor, read

from service.catalog.models import Image


@pytest.mark.parametrize(
    "path",
    [
        "/?utm_source=newsletter",
        "/?utm_source=a&utm_source=b",
        "/?fbclid=",
        "/cart?x=1",
        "/login?next=/cart&gclid=1",
        "/docs?ref=mail",
        "/?limit=abc",
        "/?sort=no-such",
        "/?sort=price_asc&limit=2",
        "/account/verify?x=%C3%BC",
        "/account/forgot?a=1",
    ],
)
def test_pages_ignore_parameters_they_do_not_know(visitor: Visitor, path: str) -> None:
    assert "<h1" in visitor.see(path)


def test_a_products_page_ignores_them_too(site: Site, visitor: Visitor) -> None:
    product = site.sells("Square jar", 5)
    assert "Square jar" in visitor.see(f"/p/{product.slug}?fbclid=x&utm_campaign=y")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/no/such/page", 404),
        ("/p/no-such-product", 404),
        ("/?cursor=rubbish", 422),
        ("/orders/none", 401),
        ("/problems/none", 404),
    ],
)
def test_a_browser_reads_a_page_with_that_status_and_a_program_a_problem(
    visitor: Visitor, path: str, status: int
) -> None:
    page = visitor.see(path, status)
    assert visitor.at.headers["content-type"] == "text/html; charset=utf-8"
    assert "nonce-" in visitor.at.headers["content-security-policy"]
    assert '<nav aria-label="Main">' in page
    program = visitor.get(path, headers={"Accept": "*/*"})
    assert (program.status_code, program.headers["content-type"]) == (status, "application/problem+json")


def test_an_api_address_answers_a_script_of_a_page_with_a_problem(visitor: Visitor) -> None:
    answer = visitor.get("/api/products/no-such", headers={"Accept": "*/*"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("typed", ["8", "8.00", "8,00", "£8", "8 GBP", " 8,00 £ "])
def test_a_price_filter_understands_commas_and_signs(visitor: Visitor, typed: str) -> None:
    visitor.at = visitor.get("/", params={"category": "jugs", "maxPrice": typed})
    assert visitor.at.status_code == 200
    prices = [float(price) for price in re.findall(r'class="price">£([\d.]+)', visitor.at.text)]
    assert prices
    assert max(prices) <= 8


@pytest.mark.parametrize("typed", ["cheap", "-5", "1e3", "10.505.1", "$5", "٣"])
def test_nonsense_in_a_price_filter_is_told_in_a_sentence_beside_the_field(visitor: Visitor, typed: str) -> None:
    visitor.at = visitor.get("/", params={"category": "jugs", "minPrice": typed})
    assert visitor.at.status_code == 422
    assert "Enter an amount like 10.50." in visitor.at.text
    assert 'aria-invalid="true"' in visitor.at.text
    assert "enamel jug" in visitor.at.text, "the list is shown without the filter"


def test_a_search_and_its_filters_hold_together(site: Site, visitor: Visitor) -> None:
    for number in range(6):
        site.sells(f"Heart lantern {number}", 3, price=500 + number * 500, category="lights", brand="Amor")
    page = visitor.see("/?q=heart+lantern&maxPrice=12")
    assert len(re.findall(r"<h2>Heart lantern", page)) == 2
    form = next(form for form in read(page).forms if "minPrice" in form.fields)
    assert form.fields["q"] == "heart lantern"
    assert "Nothing found" in visitor.see("/?q=heart&brand=Regency")
    assert len(re.findall(r"<h2>Heart lantern", visitor.see("/?q=heart&minPrice=25&category=lights"))) == 2
    assert "Nothing found" in visitor.see("/?q=heart&category=jugs")
    seen: list[str] = []
    path: str | None = "/?q=heart&minPrice=10&limit=2"
    while path and len(seen) < 20:
        page = visitor.see(path)
        seen += re.findall(r"<h2>(Heart lantern \d)", page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        path = following and following[1].replace("&amp;", "&")
    assert sorted(seen) == [f"Heart lantern {number}" for number in range(1, 6)]


def test_all_pictures_are_shown_and_the_policy_lets_them_in(site: Site, visitor: Visitor) -> None:
    images = tuple(Image(f"https://pictures.example/{name}.jpg", name.title()) for name in ("front", "back", "top"))
    product = site.sells("Framed print", 2, images=images)
    page = visitor.see(f"/p/{product.slug}")
    assert all(f'src="{image.url}"' in page for image in images)
    assert re.search(r"img-src 'self' data: https:", visitor.at.headers["content-security-policy"])


def test_the_documentation_has_guides_and_shows_code_as_code(visitor: Visitor) -> None:
    page = visitor.see("/docs")
    for guide in ("login", "cart", "orders", "stream", "cards", "errors", "limits"):
        assert f'id="guide-{guide}"' in page
        assert f'href="#guide-{guide}"' in page
    text = re.sub(r"<pre[\s\S]*?</pre>", "", page)
    assert "`" not in text
    assert 'id="find"' in page
