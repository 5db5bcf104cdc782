"""People in front of the pages: Debian's Chromium on the whole service. Screenshots go to runs/screenshots/."""

import itertools
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsed import PASSWORD, STAFF, Site, variants
from playwright.sync_api import Page, expect

from pages.conftest import Visit
from service.inventory.models import Line

pytestmark = pytest.mark.browser
SHOTS = Path(__file__).parents[2] / "runs" / "screenshots"
PHONE = {"width": 360, "height": 740}
numbers = itertools.count(1)


def shot(page: Page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def register(page: Page) -> str:
    """A new customer, signed in from the page's own form."""
    email = f"{uuid4().hex}@example.com"
    page.goto("/login")
    form = page.locator("form[data-action=register]")
    form.get_by_label("Name").fill("Ada Buyer")
    form.get_by_label("E-mail").fill(email)
    form.get_by_label("Password").fill(PASSWORD)
    form.get_by_role("button").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    return email


def sign_in(page: Page, email: str) -> None:
    form = page.locator("form[data-action=login]")
    form.get_by_label("E-mail").fill(email)
    form.get_by_label("Password").fill(PASSWORD)
    form.get_by_role("button").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def mug(site: Site, units: int) -> Any:
    return site.sells(f"Cobalt mug {next(numbers)}", units, description="Holds a pint.")


def put_in_cart(page: Page, product: Any) -> None:
    page.goto(f"/p/{product.slug}")
    page.get_by_role("button", name="Add to cart").click()
    expect(page.get_by_text("Added to your cart.")).to_be_visible()


def check_out(page: Page) -> None:
    page.goto("/cart")
    page.get_by_role("button", name="Check out").click()
    expect(page.get_by_role("heading", name="Order")).to_be_visible()


def test_from_browsing_to_the_order_history(site: Site, visit: Visit) -> None:
    product, page = mug(site, 7), visit("/")
    shot(page, "list")
    register(page)
    page.get_by_label("Search products").fill(product.name)
    page.get_by_role("button", name="Search").click()
    page.get_by_role("heading", name=product.name).last.click()
    expect(page).to_have_title(f"{product.name} – Holdfast")
    expect(page.get_by_text("7 in stock")).to_be_visible()
    shot(page, "product")
    page.get_by_label("Quantity").fill("2")
    page.get_by_role("button", name="Add to cart").click()
    expect(page.get_by_role("link", name="Cart (2)")).to_be_visible()
    page.get_by_role("link", name="Cart (2)").click()
    expect(page.get_by_text("Total £25.98")).to_be_visible()
    shot(page, "cart")
    page.get_by_role("button", name="Check out").click()
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"14:5\d"))
    assert site.available(product.sku) == 5
    shot(page, "order-pending")
    page.get_by_role("button", name="Pay £25.98").click()
    expect(page.locator(".status")).to_have_text("paid")
    shot(page, "order-paid")
    page.get_by_role("link", name="Orders").click()
    row = page.get_by_role("row").nth(1)
    expect(row).to_contain_text("£25.98")
    expect(row).to_contain_text("paid")
    shot(page, "orders")


def test_a_sold_out_page_changes_by_itself_when_goods_come_in(site: Site, visit: Visit) -> None:
    product, page = mug(site, 0), visit("/")
    email = register(page)
    page.goto(f"/p/{product.slug}")
    expect(page.get_by_role("button", name="Add to cart")).to_be_hidden()
    page.get_by_role("button", name="Notify me when available").click()
    expect(page.get_by_text("We will tell you when it is back.")).to_be_visible()
    shot(page, "sold-out")
    waiting = site.document("subscriptions", sku=product.sku)
    assert waiting["email"] == email
    page.evaluate("window.notReloaded = true")
    site.restock(product.sku, 4)
    expect(page.get_by_text("4 in stock")).to_be_visible()
    expect(page.get_by_role("button", name="Add to cart")).to_be_visible()
    expect(page.get_by_role("button", name="Notify me when available")).to_be_hidden()
    assert page.evaluate("window.notReloaded")
    shot(page, "back-in-stock")


def test_staff_restock_on_the_operations_page_and_its_figures_move(site: Site, visit: Visit) -> None:
    product, buyer = mug(site, 3), visit("/")
    register(buyer)
    put_in_cart(buyer, product)
    page = visit("/ops")
    sign_in(page, STAFF)
    expect(page.get_by_role("heading", name="Operations")).to_be_visible()
    expect(page.locator("#low-stock")).to_contain_text(product.sku)
    held = page.locator("#holds")
    expect(held).to_have_text(re.compile(r"\d+"))
    before = int(held.inner_text())
    check_out(buyer)
    expect(held).to_have_text(str(before + 1))
    shot(page, "ops")
    page.get_by_role("textbox", name="SKU").fill(product.sku)
    page.get_by_label("Units").fill("50")
    page.get_by_role("button", name="Receive").click()
    expect(page.get_by_text(f"50 units of {product.sku} received.")).to_be_visible()
    expect(page.locator("#low-stock")).not_to_contain_text(product.sku)
    assert site.available(product.sku) == 52


def test_the_operations_page_is_for_staff(visit: Visit) -> None:
    page = visit("/")
    register(page)
    page.goto("/ops")
    expect(page.get_by_text("Your account may not see this page.")).to_be_visible()


def test_a_guests_cart_follows_them_through_the_login(site: Site, visit: Visit) -> None:
    product, other, page = mug(site, 9), mug(site, 9), visit("/")
    email = register(page)
    put_in_cart(page, other)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in")).to_be_visible()
    put_in_cart(page, product)
    page.get_by_role("link", name="Cart (1)").click()
    page.get_by_role("link", name="Sign in instead").click()
    sign_in(page, email)
    expect(page.get_by_role("link", name="Cart (2)")).to_be_visible()


def test_a_declined_card_says_so_and_frees_the_goods(site: Site, visit: Visit) -> None:
    product, page = mug(site, 3), visit("/")
    register(page)
    put_in_cart(page, product)
    check_out(page)
    page.get_by_label("Card").select_option("pm_card_declined")
    page.get_by_role("button", name="Pay").click()
    expect(page.locator(".status")).to_have_text("cancelled")
    expect(page.locator("#notice")).to_contain_text(re.compile("declined", re.IGNORECASE))
    assert site.available(product.sku) == 3
    shot(page, "declined")


def test_what_somebody_else_bought_meanwhile_is_named(site: Site, visit: Visit) -> None:
    product, page = mug(site, 2), visit("/")
    register(page)
    put_in_cart(page, product)
    site.run(site.shop.inventory.adjust(product.sku, -2, "broken", "test"))
    page.goto("/cart")
    page.get_by_role("button", name="Check out").click()
    expect(page.get_by_text(f"Not enough stock – {product.sku}: 0 left")).to_be_visible()


def test_a_visit_outlives_its_access_cookie_without_asking_again(site: Site, visit: Visit) -> None:
    product, page = mug(site, 9), visit("/")
    register(page)
    page.context.clear_cookies(name="access")
    page.goto("/orders")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.goto(f"/p/{product.slug}")
    page.context.clear_cookies(name="access")
    page.get_by_role("button", name="Add to cart").click()
    expect(page.get_by_text("Added to your cart.")).to_be_visible()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_wrong_passwords_and_a_shop_that_is_away_are_told_to_people(visit: Visit) -> None:
    page = visit("/login")
    form = page.locator("form[data-action=login]")
    form.get_by_label("E-mail").fill("nobody@example.com")
    form.get_by_label("Password").fill("not the password")
    form.get_by_role("button").click()
    expect(page.locator("#notice")).not_to_be_empty()
    page.context.set_offline(True)
    form.get_by_role("button").click()
    expect(page.get_by_text("The shop cannot be reached.")).to_be_visible()


def test_browsing_works_without_javascript(site: Site, visit: Visit) -> None:
    product = site.sells("Striped bowl", 4, category="bowls", variants=variants("Small", "Large"))
    page = visit("/", java_script_enabled=False)
    page.get_by_label("Categories").get_by_role("link", name="bowls").click()
    expect(page.locator(".tile")).to_have_count(1)
    page.get_by_label("From £").fill("9")
    page.get_by_role("button", name="Apply").click()
    page.get_by_role("heading", name=product.name).click()
    expect(page.get_by_text("4 in stock").first).to_be_visible()
    page.goto("/?limit=5&sort=price_asc&category=jugs")
    first = page.locator(".tile h2").first.inner_text()
    page.get_by_role("link", name="More products").click()
    expect(page.locator(".tile")).to_have_count(5)
    assert page.locator(".tile h2").first.inner_text() != first


def test_older_orders_are_a_page_further(site: Site, visit: Visit) -> None:
    product, page = mug(site, 99), visit("/")
    email = register(page)
    user = site.document("users", email=email)
    for _ in range(site.shop.config.page_size + 1):
        site.run(site.shop.orders.checkout(user["_id"], [Line(product.sku, 1)]))
    page.goto("/orders")
    expect(page.get_by_role("row")).to_have_count(site.shop.config.page_size + 1)
    page.get_by_role("link", name="Older orders").click()
    expect(page.get_by_role("row")).to_have_count(2)


def test_pages_fit_a_phone(site: Site, visit: Visit) -> None:
    product, page = mug(site, 5), visit("/", viewport=PHONE)
    register(page)
    put_in_cart(page, product)
    for path in ("/", f"/p/{product.slug}", "/cart", "/orders", "/login"):
        page.goto(path)
        page.wait_for_load_state("networkidle") if path == "/cart" else None
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
        shot(page, f"phone-{path.split('/')[1] or 'list'}")


def test_everything_can_be_bought_with_the_keyboard_alone(site: Site, visit: Visit) -> None:
    product, page = mug(site, 5), visit("/")
    register(page)
    page.goto(f"/p/{product.slug}")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    tab_to(page, "Add to cart")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Added to your cart.")).to_be_visible()
    page.goto("/cart")
    expect(page.get_by_role("button", name="Check out")).to_be_visible()
    tab_to(page, "Check out")
    page.keyboard.press("Space")
    expect(page.get_by_role("timer")).to_be_visible()
    tab_to(page, "Pay £12.99")
    page.keyboard.press("Enter")
    expect(page.locator(".status")).to_have_text("paid")


def tab_to(page: Page, name: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").strip() == name:
            return
    raise AssertionError(f"{name} cannot be reached with the Tab key")


def test_axe_finds_no_serious_fault_on_any_page(site: Site, visit: Visit) -> None:
    product, page = mug(site, 5), visit("/login")
    sign_in(page, STAFF)
    put_in_cart(page, product)
    check_out(page)
    order = page.url.removeprefix(site.url)
    put_in_cart(page, product)
    faults = {}
    for path in ("/", f"/p/{product.slug}", "/cart", "/login", order, "/orders", "/ops"):
        page.goto(path)
        expect(page.locator("#cart-count")).not_to_be_empty()
        found = Axe().run(page).response["violations"]
        faults[path] = [
            (each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in {"serious", "critical"}
        ]
    assert {path: found for path, found in faults.items() if found} == {}
