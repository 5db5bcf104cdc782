"""One service and one browser for all tests of the pages. Both end with this folder: while a browser lives, its loop
keeps asynchronous tests from running in this thread."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import shops
from browsed import Site, open_site
from needs import missing
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pymongo import MongoClient
from visitor import Visitor

from service.config import Config
from service.stack import embedded

CHROMIUM = Path("/usr/bin/chromium")
QUIET = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
Visit = Callable[..., Page]


@pytest.fixture(scope="package")
def site(stores: embedded.EmbeddedStores, mongo: MongoClient[dict[str, Any]]) -> Iterator[Site]:
    config = Config(mongodb_uri=stores.mongodb_uri, redis_url=stores.redis_url, database=shops.make_indexes(mongo))
    with open_site(replace(config, bcrypt_rounds=4, rate_limit_scale=1_000)) as opened:
        for number in range(12):
            colour = ("Red", "Blue", "Green", "White")[number % 4]
            opened.sells(
                f"{colour} enamel jug {number}",
                number * 3,
                price=650 + number * 125,
                category="jugs",
                brand="Regency",
                description="Enamelled twice and fired at 850 degrees, with a rolled rim.",
            )
        yield opened


@pytest.fixture
def visitor(site: Site) -> Iterator[Visitor]:
    """Somebody whose browser runs no scripts."""
    with Visitor(site.url) as opened:
        yield opened


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        missing(f"no Chromium at {CHROMIUM}: apt-get install chromium")
    expect.set_options(timeout=20_000)  # a busy machine is no fault of a page
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*QUIET.split(), "--disable-sync"])
        yield launched
        launched.close()


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Visit]:
    """Each call is another visitor, at a path. A page that throws or breaks its own security policy fails the test."""
    contexts, faults = [], []

    def come(path: str = "/", **settings: Any) -> Page:
        contexts.append(browser.new_context(base_url=site.url, **settings))
        contexts[-1].set_default_timeout(20_000)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
        page.goto(path)
        return page

    yield come
    for context in contexts:
        context.close()
    assert faults == []
