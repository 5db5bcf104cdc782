"""Every address that is handed out is served: those of mails, pages, headers, problems and the site's own lists."""

import re
import time
from collections import Counter
from dataclasses import replace
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

from browsed import STAFF, Site
from visitor import Visitor, read

from service import bootstrap
from service.messaging.deliveries import Delivery
from service.messaging.mail import Mailer
from service.pages.errors import known_problems

PAGES_MAX = 120
QUERIES_MAX = 3  # a page links to itself in many ways
ADDRESS = re.compile(r"https?://[^\s\"'<>]+")
START = ("/", "/cart", "/login", "/account/forgot", "/openapi.json", "/problems/not_found", "/no/such/page")


def handed_out(visitor: Visitor, start: list[str]) -> dict[str, int]:
    """The status of every address of ours that can be reached by following what is handed out from `start`."""
    waiting, found, of_path = start[:], dict[str, int](), Counter[str]()
    while waiting and len(found) < PAGES_MAX:
        path = waiting.pop(0)
        bare = path.partition("?")[0]
        if path in found or "/inventory/stream" in path or of_path[bare] == QUERIES_MAX:
            continue
        of_path[bare] += 1
        answer = visitor.get(path, headers={"Accept": "text/html"})
        found[path] = answer.status_code
        given = [answer.headers.get("location", ""), *re.findall(r"<([^>]+)>", answer.headers.get("link", ""))]
        if "html" in answer.headers.get("content-type", ""):
            seen = read(answer.text)
            posted = {form.action for form in seen.forms if form.method == "post"}
            given += [each for each in seen.links if each not in posted]
        waiting += [local for each in given if (local := _ours(visitor, path, each))]
    return found


def _ours(visitor: Visitor, path: str, given: str) -> str:
    address = urldefrag(urljoin(str(visitor.base_url.join(path)), given))[0]
    parts = urlsplit(address)
    ours = parts.scheme in {"http", "https"} and parts.netloc == visitor.base_url.netloc.decode()
    return (parts.path + (f"?{parts.query}" if parts.query else "")) if given and ours else ""


def mailed(site: Site, **fields: Any) -> list[str]:
    """The text of the mails that have been asked for, as they go out."""

    async def found() -> list[dict[str, Any]]:
        return [entry async for entry in site.shop.stores.database["deliveries"].find({"channel": "mail"})]

    config = replace(site.shop.config, smtp_url="smtp://localhost:25", public_url=site.url)
    mailer = Mailer(site.shop.clock, config, bootstrap._fill(config))
    texts = []
    for entry in site.run(found()):
        delivery = Delivery(entry["_id"], entry["channel"], entry["to"], entry["content"])
        if fields.items() <= {"to": delivery.to, "template": delivery.content["template"]}.items():
            message = mailer.write(delivery)
            texts += [str(part.get_content()) for part in message.iter_parts()]
    return texts


def test_every_address_on_a_page_of_a_guest_a_customer_and_staff_is_served(site: Site, visitor: Visitor) -> None:
    product = site.sells("Linked lamp", 5)
    for who in ("guest", "customer", "staff"):
        if who == "customer":
            visitor.register()
            visitor.see(f"/p/{product.slug}")
            visitor.submit("/cart/items")
            visitor.see("/cart")
            visitor.submit("/checkout")
        if who == "staff":
            visitor.cookies.clear()
            visitor.sign_in(STAFF)
        found = handed_out(visitor, [*START, "/orders", "/ops"])
        missing = {path for path, status in found.items() if status in {404, 405} and path != "/no/such/page"}
        assert missing == set()
        assert len(found) > 20


def waited_for(site: Site, **fields: str) -> list[str]:
    """Mails go the way of every fact, and so arrive a moment later."""
    for _ in range(100):
        if texts := mailed(site, **fields):
            return texts
        time.sleep(0.05)
    raise AssertionError(f"no mail {fields}")


def test_every_link_of_a_mail_finishes_its_job(site: Site, visitor: Visitor) -> None:
    email = visitor.register()
    visitor.see("/account/forgot")
    assert "a mail with a link is on its way" in visitor.submit("/account/forgot", email=email)
    links = {
        template: next(link for text in waited_for(site, to=email, template=template) for link in ADDRESS.findall(text))
        for template in ("email_verification", "password_reset")
    }
    for link in links.values():
        assert "#" in link, "what is secret is never sent to a server"
        visitor.see(urlsplit(link).path)
    visitor.see("/account/verify")
    assert "not valid" in visitor.submit("/account/verify", 422, token="nonsense")
    assert "your address is verified" in visitor.submit("/account/verify", token=links["email_verification"])
    assert site.document("users", email=email)["emailVerified"]
    visitor.see("/account/reset")
    changed = visitor.submit("/account/reset", token=links["password_reset"], password="another fine pass phrase 8")
    assert "Your new password is set" in changed
    assert visitor.form("/login").fields["password"] == ""
    visitor.submit("/login", email=email, password="another fine pass phrase 8")
    assert 'action="/logout"' in visitor.at.text
    assert {status for path, status in handed_out(visitor, _paths_of_all_mails(site)).items()} <= {200, 303}


def _paths_of_all_mails(site: Site) -> list[str]:
    return [urlsplit(link).path for text in mailed(site) for link in ADDRESS.findall(text)][:20]


def test_every_problem_type_leads_to_what_it_means(visitor: Visitor) -> None:
    for code, (status, title) in known_problems().items():
        page = visitor.see(f"/problems/{code}")
        assert code in page
        assert str(status) in page
        assert title.split("'")[0] in page


def test_every_form_has_somebody_who_takes_it(site: Site, visitor: Visitor) -> None:
    product = site.sells("Taken lamp", 0)
    visitor.sign_in(STAFF)
    site.restock(product.sku, 3)
    visitor.see(f"/p/{product.slug}")
    visitor.submit("/cart/items")
    paths = ("/", f"/p/{product.slug}", "/cart", "/ops", "/account/verify", "/account/reset", "/account/forgot")
    actions = {form.action for path in paths for form in read(visitor.see(path)).forms if form.method == "post"}
    assert len(actions) > 8
    for action in actions:
        answer = visitor.post(action, content=b"x", headers={"Content-Type": "text/plain"})
        assert answer.status_code in {403, 415}, (action, answer.status_code)
