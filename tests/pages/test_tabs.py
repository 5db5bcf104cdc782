"""What several tabs, lost answers, wrong clocks and small windows do to the pages, in Debian's Chromium."""

import re
from typing import Any

import pytest
from browsed import STAFF, Site
from playwright.sync_api import Page, Route, expect
from test_browser import check_out, put_in_cart, register, sign_in

from pages.conftest import Visit

pytestmark = pytest.mark.browser
TABS = 8
LONG = "Unbreakable" * 20
HIDE = """() => { Object.defineProperty(document, "hidden", { get: () => true, configurable: true });
document.dispatchEvent(new Event("visibilitychange")); }"""


def tabs(page: Page, path: str, count: int) -> list[Page]:
    """That page and others of the same browser."""
    opened = [page, *(page.context.new_page() for _ in range(count - 1))]
    for each in opened:
        each.goto(path)
    return opened


def streams(page: Page) -> list[str]:
    """The addresses of the streams that are opened from now on in this tab."""
    found: list[str] = []
    page.on("request", lambda request: found.append(request.url) if "/inventory/stream" in request.url else None)
    return found


def lose_answers(page: Page, path: str) -> Any:
    """The shop does what it is asked there, and nobody hears the answer until the returned function is called."""

    def carry_out_and_drop(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route(path, carry_out_and_drop)
    return lambda: page.unroute(path)


def test_eight_tabs_load_and_share_one_stream_that_reaches_all(site: Site, visit: Visit) -> None:
    product, page = site.sells("Eightfold cup", 3), visit("/")
    opened = [page, *(page.context.new_page() for _ in range(TABS - 1))]
    counted = [streams(each) for each in opened]
    for each in opened:
        each.goto(f"/p/{product.slug}")
        expect(each.get_by_text("3 in stock")).to_be_visible()
    site.restock(product.sku, 4)
    for each in opened:
        expect(each.get_by_text("7 in stock")).to_be_visible()
    assert sum(bool(each) for each in counted) == 1, "one tab listens for all"


def test_a_hidden_tab_hands_the_stream_on(site: Site, visit: Visit) -> None:
    product, page = site.sells("Handed cup", 3), visit("/")
    first, second = tabs(page, f"/p/{product.slug}", 2)
    seen = streams(second)
    expect(second.get_by_text("3 in stock")).to_be_visible()
    first.evaluate(HIDE)
    second.wait_for_timeout(300)
    assert seen, "the tab that is still seen listens now"
    site.restock(product.sku, 2)
    expect(second.get_by_text("5 in stock")).to_be_visible()


def test_a_checkout_whose_answer_was_lost_is_found_again(site: Site, visit: Visit) -> None:
    product, page = site.sells("Lost answer cup", 5), visit("/")
    register(page)
    put_in_cart(page, product)
    page.goto("/cart")
    heal = lose_answers(page, "**/api/orders")
    page.get_by_role("button", name="Check out").click()
    expect(page.get_by_text("The shop cannot be reached.")).to_be_visible()
    heal()
    page.goto("/cart")
    expect(page.get_by_text("Your cart is empty.")).to_be_visible()
    page.get_by_role("button", name="See what became of it").click()
    expect(page.get_by_role("heading", name="Order")).to_be_visible()
    assert site.available(product.sku) == 4


def test_goods_whose_receipt_was_lost_are_received_once(site: Site, visit: Visit) -> None:
    product, page = site.sells("Received cup", 3), visit("/login?next=/ops")
    sign_in(page, STAFF)
    heal = lose_answers(page, "**/api/inventory/receive")
    page.get_by_role("textbox", name="SKU").fill(product.sku)
    page.get_by_label("Units").fill("20")
    page.get_by_role("button", name="Receive").click()
    form = page.locator("form[data-action=receive]")
    expect(form.get_by_text("The shop cannot be reached.")).to_be_visible()
    heal()
    page.get_by_role("button", name="Receive").click()
    expect(form.get_by_text(f"20 units of {product.sku} received.")).to_be_in_viewport()
    assert site.available(product.sku) == 23


def test_an_order_paid_in_one_tab_is_not_offered_for_payment_in_another(site: Site, visit: Visit) -> None:
    product, page = site.sells("Two tab cup", 5), visit("/")
    register(page)
    put_in_cart(page, product)
    check_out(page)
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.get_by_role("button", name="Pay")).to_be_visible()
    page.get_by_role("button", name="Pay").click()
    expect(page.locator(".status")).to_have_text("paid")
    expect(other.locator(".status")).to_have_text("paid")
    expect(other.get_by_role("button", name="Pay")).to_have_count(0)


def test_a_payment_that_is_being_checked_shows_its_end_by_itself(site: Site, visit: Visit) -> None:
    product, page = site.sells("Checked cup", 5), visit("/")
    register(page)
    put_in_cart(page, product)
    check_out(page)
    order_id = page.url.rpartition("/")[2]
    stored = site.document("orders", _id=order_id)
    payment = {
        "id": "x",
        "status": "processing",
        "method": "card",
        "startedAt": stored["createdAt"],
        "key": None,
    }

    async def change(fields: dict[str, Any]) -> None:
        await site.shop.stores.database["orders"].update_one({"_id": order_id}, {"$set": fields})

    site.run(change({"payment": payment}))
    page.reload()
    expect(page.get_by_text("Your payment is being checked.")).to_be_visible()
    paid = {"status": "paid", "payment.status": "paid", "reservation.status": "confirmed"}
    site.run(change(paid))
    expect(page.locator(".status")).to_have_text("paid")


def test_the_countdown_goes_by_the_shops_clock_and_says_when_it_is_over(site: Site, visit: Visit) -> None:
    product, page = site.sells("Timed cup", 5), visit("/")
    page.add_init_script("Date.now = () => 0")
    register(page)
    put_in_cart(page, product)
    check_out(page)
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"14:5\d"))

    def nearly_over(route: Route) -> None:
        answer = route.fetch()
        text = re.sub(r'data-seconds="\d+"', 'data-seconds="1"', answer.text())
        route.fulfill(response=answer, body=text)

    page.route("**/orders/*", nearly_over)
    page.reload()
    page.unroute("**/orders/*")
    expect(page.locator("#order")).to_contain_text("The hold has run out; paying takes what is left.")


def test_an_emptied_quantity_keeps_the_line_and_remove_can_be_undone(site: Site, visit: Visit) -> None:
    product, page = site.sells("Undone cup", 9), visit("/")
    put_in_cart(page, product)
    page.goto("/cart")
    quantity = page.get_by_label("Quantity of Undone cup")
    quantity.fill("3")
    quantity.blur()
    expect(page.get_by_text("Total £38.97")).to_be_visible()
    quantity = page.get_by_label("Quantity of Undone cup")
    quantity.fill("")
    quantity.blur()
    expect(page.get_by_text("Enter a whole number")).to_be_visible()
    expect(quantity).to_have_value("3")
    page.get_by_role("button", name="Remove Undone cup").click()
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    expect(page.get_by_text("Your cart is empty.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Total £38.97")).to_be_visible()


def test_a_page_of_a_missing_address_greets_its_reader_and_is_loaded_once(site: Site, visit: Visit) -> None:
    page = visit("/login")
    sign_in(page, STAFF)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.is_navigation_request() else None)
    page.goto("/no/such/page")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert len(asked) == 1


def test_a_page_made_for_a_guest_is_asked_for_once_more_and_no_more(site: Site, visit: Visit) -> None:
    page = visit("/login")
    sign_in(page, STAFF)
    made = []

    def for_a_guest(route: Route) -> None:
        answer = route.fetch()
        made.append(re.sub(r'data-user="[^"]*"', 'data-user=""', answer.text()))
        route.fulfill(response=answer, body=made[-1])

    page.route("**/cart", for_a_guest)
    with page.expect_navigation(url="**/cart"):  # the second, by the page itself
        page.goto("/cart")
    page.wait_for_timeout(1_000)
    assert len(made) == 2


def test_without_the_network_people_read_a_sentence(site: Site, visit: Visit) -> None:
    product, page = site.sells("Offline cup", 5), visit("/")
    register(page)
    page.goto(f"/p/{product.slug}")
    expect(page.locator("#cart-count")).to_have_text("")
    page.context.set_offline(True)
    for button in ("Add to cart", "Sign out"):
        page.get_by_role("button", name=button).click()
        expect(page.locator("#notice")).to_have_text("The shop cannot be reached. Check your connection and try again.")
        page.evaluate("document.getElementById('notice').textContent = ''")
    page.context.set_offline(False)
    page.get_by_role("button", name="Add to cart").click()
    expect(page.get_by_text("Added to your cart.")).to_be_visible()


@pytest.mark.parametrize("width", [320, 390, 1440])
def test_long_names_wrap_and_nothing_is_wider_than_the_window(site: Site, visit: Visit, width: int) -> None:
    """Every page in one test: what takes the time is the sign-in, twice."""
    product = site.sells(LONG, 5, brand="B" * 60, description="d" * 300)
    page = visit("/login", viewport={"width": width, "height": 700})
    sign_in(page, STAFF)
    put_in_cart(page, product)
    check_out(page)
    order = page.url.removeprefix(site.url)
    put_in_cart(page, product)
    paths = ["/", f"/?q={LONG}", f"/p/{product.slug}", "/cart", order, "/orders", "/ops", "/no/such/page", "/docs"]
    paths += ["/account/verify", "/account/reset", "/account/forgot", "/problems/not_found", "/?minPrice=abc"]
    wide = {}
    for path in paths:
        page.goto(path)
        if (found := page.evaluate("document.documentElement.scrollWidth")) > width:
            wide[path] = found
    assert wide == {}
    page.goto("/orders")
    expect(page.locator(".status").first).to_be_in_viewport()
