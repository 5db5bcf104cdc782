"""Everything essential works without a script: forms are sent as they stand, and never with a secret in an address."""

import re

import httpx
import pytest
from browsed import PASSWORD, STAFF, Site
from visitor import Visitor, read


def test_somebody_without_scripts_buys_from_the_list_to_the_paid_order(site: Site, visitor: Visitor) -> None:
    product = site.sells("Plain plate", 5)
    visitor.see(f"/p/{product.slug}")
    assert "Added to your cart." in visitor.submit("/cart/items", quantity="2")
    assert "Plain plate" in visitor.see("/cart")
    visitor.submit("/checkout")
    assert visitor.path == "/login?next=%2Fcart"
    visitor.submit("/register", email="plain@example.com", password=PASSWORD, name="Plain")
    assert visitor.path == "/cart", "the sign-in leads back, and the guest's cart came along"
    page = visitor.submit("/checkout")
    order_id = visitor.path.rpartition("/")[2]
    assert "£25.98" in page
    assert site.available(product.sku) == 3
    assert "status-paid" in visitor.submit(f"/orders/{order_id}/pay", paymentMethod="pm_card_visa")
    visitor.see("/orders")
    visitor.submit("/logout")
    visitor.see("/orders", 401)


def test_no_form_sends_what_is_typed_in_an_address(site: Site, visitor: Visitor) -> None:
    product = site.sells("Tall glass", 5)
    visitor.register()
    seen = [visitor.see(path) for path in ("/", f"/p/{product.slug}", "/cart", "/account/forgot", "/account/reset")]
    with httpx.Client(base_url=site.url, headers={"Accept": "text/html"}) as guest:
        seen.append(guest.get("/login").text)
    searching = {"q", "category", "brand", "minPrice", "maxPrice", "sort"}
    for form in (form for text in seen for form in read(text).forms):
        assert form.method == "post" or set(form.fields) <= searching, form


def test_a_wrong_password_shows_the_form_again_with_the_address_and_without_the_password(visitor: Visitor) -> None:
    visitor.see("/login?next=/orders")
    page = visitor.submit("/login", 401, email="nobody@example.com", password="not the password 1")
    assert "E-mail address or password is wrong" in page
    assert visitor.form("/login").fields == {
        "next": "/orders",
        "email": "nobody@example.com",
        "password": "",
        "code": "",
    }
    assert "not the password 1" not in page


@pytest.mark.parametrize(
    "where",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "evil",
    ],
)
def test_a_sign_in_never_leads_to_another_site(visitor: Visitor, where: str) -> None:
    visitor.get("/login")
    visitor.at = visitor.get("/login", params={"next": where})
    form = visitor.form("/register")
    assert form.fields["next"] == "/"
    answer = visitor.post(
        "/register",
        data={"email": f"e{abs(hash(where))}@example.com", "password": PASSWORD, "name": "E", "next": where},
        headers={"Origin": str(visitor.base_url).rstrip("/")},
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_a_sign_in_leads_back_to_where_one_came_from(site: Site, visitor: Visitor) -> None:
    product = site.sells("Deep bowl", 0)
    links = read(visitor.see(f"/p/{product.slug}?utm_source=x")).links
    visitor.register(next(each for each in links if each.startswith("/login")))
    assert visitor.path == f"/p/{product.slug}?utm_source=x"
    assert "Notify me" in visitor.at.text
    assert "We will tell you" in visitor.submit(f"/p/{product.slug}/notify-me")


def test_a_form_from_another_site_or_of_another_session_is_refused(site: Site, visitor: Visitor) -> None:
    product = site.sells("Small cup", 5)
    visitor.register()
    visitor.see(f"/p/{product.slug}")
    form = visitor.form("/cart/items")
    foreign = visitor.post("/cart/items", data=form.fields, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    for token in ("", "A" * 64, "é"):
        forged = visitor.post("/cart/items", data={**form.fields, "csrfToken": token})
        assert forged.status_code == 403
        assert "load it again" in forged.text
    assert "text/html" in forged.headers["content-type"]


def test_a_form_sent_twice_buys_once(site: Site, visitor: Visitor) -> None:
    product = site.sells("Oval dish", 5)
    visitor.register()
    visitor.see(f"/p/{product.slug}")
    visitor.submit("/cart/items")
    visitor.see("/cart")
    form = visitor.form("/checkout")
    visitor.submit("/checkout", form=form)
    first = visitor.path
    visitor.see(f"/p/{product.slug}")
    visitor.submit("/cart/items")
    visitor.submit("/checkout", form=form)
    assert visitor.path == first, "the answer was lost, so it was sent again: the same order"
    assert site.available(product.sku) == 4


def test_goods_are_received_once_however_often_the_form_is_sent(site: Site, visitor: Visitor) -> None:
    product = site.sells("Flat pan", 3)
    visitor.sign_in(STAFF, "/login?next=/ops")
    form = visitor.form("/ops/receive")
    for _ in range(3):
        assert "The goods are received." in visitor.submit("/ops/receive", form=form, sku=product.sku, quantity="20")
    assert site.available(product.sku) == 23
    refused = visitor.submit("/ops/receive", 404, sku="NO-SUCH-SKU", quantity="1")
    assert 'value="NO-SUCH-SKU"' in refused


def test_an_emptied_quantity_keeps_the_line_and_a_removed_one_comes_back(site: Site, visitor: Visitor) -> None:
    product = site.sells("Round tray", 9)
    visitor.see(f"/p/{product.slug}")
    visitor.submit("/cart/items", quantity="4")
    visitor.see("/cart")
    line = f"/cart/items/{product.sku}"
    for nonsense in ("", "many", "-3", "1.5"):
        assert "Enter a whole number" in visitor.submit(line, 422, quantity=nonsense)
        assert visitor.form(line).fields["quantity"] == "4"
    assert "was taken out" in visitor.submit(line, quantity="0")
    visitor.submit("/cart/items")
    assert visitor.form(line).fields["quantity"] == "4"


def test_a_line_that_is_no_longer_sold_is_named(site: Site, visitor: Visitor) -> None:
    kept, gone = site.sells("Kept knife", 5), site.sells("Gone fork", 5)
    visitor.register()
    for product in (kept, gone):
        visitor.see(f"/p/{product.slug}")
        visitor.submit("/cart/items")
    site.run(site.shop.catalog.archive(gone.id))
    page = visitor.see("/cart")
    assert re.search(r'class="unavailable">\s*<th scope="row">Gone fork', page)
    assert "no longer sold" in page
    refused = visitor.submit("/checkout", 422)
    assert f"{gone.sku} is not sold here" in refused
    assert "Gone fork" in refused


def test_a_price_that_changed_since_is_shown(site: Site, visitor: Visitor) -> None:
    product = site.sells("Dear vase", 5)
    visitor.see(f"/p/{product.slug}")
    visitor.submit("/cart/items")
    site.run(site.shop.catalog.edit(product.id, {"price": 1999}))
    page = visitor.see("/cart")
    assert "£19.99" in page
    assert "was £12.99 when you put it in" in page


def test_an_order_that_is_paid_already_says_so_instead_of_offering_to_pay(site: Site, visitor: Visitor) -> None:
    product = site.sells("Wide cup", 5)
    visitor.register()
    visitor.see(f"/p/{product.slug}")
    visitor.submit("/cart/items")
    visitor.see("/cart")
    visitor.submit("/checkout")
    order = visitor.path
    stale = visitor.form(f"{order}/cancel")
    visitor.submit(f"{order}/pay", paymentMethod="pm_card_visa")
    page = visitor.submit(f"{order}/cancel", 409, form=stale)
    assert "The order is paid" in page
    assert "status-paid" in page
    assert "Cancel the order" not in page


def test_staff_see_a_customers_order_as_a_page(site: Site, visitor: Visitor) -> None:
    product = site.sells("Staff plate", 5)
    visitor.register()
    visitor.see(f"/p/{product.slug}")
    visitor.submit("/cart/items")
    visitor.see("/cart")
    visitor.submit("/checkout")
    order = visitor.path
    with Visitor(site.url) as staff:
        staff.sign_in(STAFF)
        page = staff.see(order)
        assert "a customer" in page
        assert not [form for form in read(page).forms if form.action.endswith("/pay")]
    with Visitor(site.url) as other:
        other.register()
        assert "There is nothing here" in other.see(order, 404)
