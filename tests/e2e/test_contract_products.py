"""/api/products, row by row."""

from uuid import uuid4

import pytest
from api import Api
from selling import Sell

PRODUCT = {
    "id",
    "slug",
    "name",
    "description",
    "category",
    "brand",
    "tags",
    "price",
    "currency",
    "images",
    "rating",
    "variants",
    "sku",
    "availability",
}


@pytest.fixture(scope="module")
def shelf(staff: Api) -> tuple[str, list[dict]]:
    """A category of twelve products of its own, the dearest made first."""
    category = f"shelf-{uuid4().hex[:8]}"
    made = []
    for number in range(12, 0, -1):
        body = {
            "name": f"Gadget {number} {category}",
            "category": category,
            "brand": "Regency" if number % 2 else "Acme",
            "tags": ["red"] if number <= 4 else ["blue"],
            "price": number * 100,
            "currency": "GBP",
            "sku": f"G{uuid4().hex[:10].upper()}",
        }
        answer = staff.post("/api/products", body)
        assert answer.status == 201, answer.body
        made.append(answer.json)
    return category, made


def prices(api: Api, **query: object) -> list[int]:
    return [product["price"] for page in api.pages("/api/products", **query) for product in page]


def test_a_product_has_everything_the_contract_names(nobody: Api, shelf: tuple[str, list[dict]]):
    _, made = shelf
    product = nobody.get(f"/api/products/{made[0]['id']}").json
    assert set(product) >= PRODUCT
    assert set(product["availability"]) >= {"inStock", "available"}
    assert nobody.get(f"/api/products/{made[0]['slug']}").json == product


def test_a_list_goes_on_where_it_stopped_without_gap_or_repetition(nobody: Api, shelf: tuple[str, list[dict]]):
    category, made = shelf
    for sort in ("newest", "price_asc", "price_desc", "rating", "popular", "relevance"):
        found = [p["id"] for page in nobody.pages("/api/products", category=category, sort=sort, limit=5) for p in page]
        assert sorted(found) == sorted(product["id"] for product in made), sort


def test_a_list_stays_correct_while_products_are_added(nobody: Api, staff: Api, shelf: tuple[str, list[dict]]):
    category, made = shelf
    pages = nobody.pages("/api/products", category=category, sort="price_asc", limit=5)
    first = next(pages)
    late = {
        "name": "Late one",
        "category": category,
        "price": 1,
        "currency": "GBP",
        "sku": f"L{uuid4().hex[:8].upper()}",
    }
    added = staff.post("/api/products", late).json
    rest = [product for page in pages for product in page]
    staff.delete(f"/api/products/{added['id']}")
    assert sorted(p["id"] for p in first + rest) == sorted(p["id"] for p in made)


def test_sorts_and_filters_do_what_they_say(nobody: Api, shelf: tuple[str, list[dict]]):
    category, _ = shelf
    assert prices(nobody, category=category, sort="price_asc") == [n * 100 for n in range(1, 13)]
    assert prices(nobody, category=category, sort="price_desc") == [n * 100 for n in range(12, 0, -1)]
    assert prices(nobody, category=category, sort="newest") == [n * 100 for n in range(1, 13)]
    assert sorted(prices(nobody, category=category, brand="Acme")) == [200, 400, 600, 800, 1000, 1200]
    assert sorted(prices(nobody, category=category, tag="red")) == [100, 200, 300, 400]
    assert sorted(prices(nobody, category=category, minPrice=300, maxPrice=500)) == [300, 400, 500]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": "ten"},
        {"cursor": "nonsense"},
        {"sort": "colour"},
        {"minPrice": -1},
        {"x": 1},
    ],
    ids=str,
)
def test_a_wrong_query_is_refused(nobody: Api, query: dict):
    refused = nobody.get("/api/products", **query)
    assert refused.status == 422
    assert refused.json["errors"]


def test_search_finds_words_and_puts_the_best_first(nobody: Api, staff: Api):
    word = f"zanzibar{uuid4().hex[:6]}"
    for name, description in ((f"A {word} lamp", "bright"), ("Plain lamp", f"made in {word}")):
        body = {"name": name, "description": description, "category": "lamps", "price": 100, "currency": "GBP"}
        assert staff.post("/api/products", {**body, "sku": f"Z{uuid4().hex[:10].upper()}"}).status == 201
    found = nobody.get("/api/products/search", q=word)
    assert found.status == 200
    assert [product["name"] for product in found.json["items"]] == [f"A {word} lamp", "Plain lamp"]


def test_categories_are_listed(nobody: Api, shelf: tuple[str, list[dict]]):
    answer = nobody.get("/api/products/categories")
    assert answer.status == 200
    assert isinstance(answer.json["items"], list)


def test_what_was_not_changed_is_not_sent_again(nobody: Api, staff: Api, shelf: tuple[str, list[dict]]):
    _, made = shelf
    path = f"/api/products/{made[1]['id']}"
    first = nobody.get(path)
    assert first.headers["etag"]
    again = nobody.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    staff.patch(path, {"description": f"changed {uuid4().hex}"})
    assert nobody.get(path, headers={"If-None-Match": first.headers["etag"]}).status == 200


def test_a_product_with_variants_has_stock_of_each(nobody: Api, staff: Api):
    skus = [f"V{uuid4().hex[:10].upper()}" for _ in range(2)]
    variants = [{"sku": sku, "name": name, "price": 500} for sku, name in zip(skus, ("red", "blue"), strict=True)]
    body = {"name": "Shirt", "category": "shirts", "price": 500, "currency": "GBP", "variants": variants}
    made = staff.post("/api/products", body)
    assert made.status == 201, made.body
    assert [variant["sku"] for variant in made.json["variants"]] == skus
    staff.post("/api/inventory/receive", {"lines": [{"sku": skus[0], "quantity": 3}]})
    found = {
        item["sku"]: item["available"] for item in nobody.get("/api/inventory/availability", sku=skus).json["items"]
    }
    assert found == {skus[0]: 3, skus[1]: 0}


def test_an_archived_product_leaves_the_lists_and_cannot_be_bought(nobody: Api, staff: Api, sell: Sell, customer: Api):
    sku = sell(stock=5, category=f"old-{uuid4().hex[:6]}")
    product = staff.get("/api/products", category=sku).json
    product = staff.get(f"/api/inventory/{sku}").json["productId"]
    assert staff.delete(f"/api/products/{product}").status == 204
    bought = customer.post("/api/orders", {"items": [{"sku": sku, "quantity": 1}]})
    assert bought.status in {404, 409, 422}
    assert staff.get(f"/api/inventory/{sku}").json["reserved"] == 0


def test_only_staff_change_products(nobody: Api, customer: Api, shelf: tuple[str, list[dict]]):
    _, made = shelf
    path = f"/api/products/{made[0]['id']}"
    for caller, status in ((nobody, 401), (customer, 403)):
        body = {"name": "Mine", "category": "x", "price": 1, "currency": "GBP", "sku": "MINE"}
        assert caller.post("/api/products", body).status == status
        assert caller.patch(path, {"price": 1}).status == status
        assert caller.delete(path).status == status


def test_a_product_that_is_not_there_is_not_found(nobody: Api, staff: Api):
    assert nobody.get("/api/products/no-such-thing").status == 404
    assert staff.patch("/api/products/no-such-thing", {"price": 1}).status == 404
    assert staff.delete("/api/products/no-such-thing").status == 404


def test_a_sku_is_given_once(staff: Api, sell: Sell):
    sku = sell(stock=0)
    body = {"name": "Again", "category": "x", "price": 1, "currency": "GBP", "sku": sku}
    assert staff.post("/api/products", body).status == 409


@pytest.mark.parametrize(
    "wrong",
    [
        {"price": -1},
        {"price": 1.5},
        {"price": "12"},
        {"name": ""},
        {"currency": "pounds"},
        {"sku": "a b"},
        {"id": "mine"},
    ],
    ids=str,
)
def test_a_wrong_product_is_refused(staff: Api, wrong: dict):
    body = {"name": "Thing", "category": "x", "price": 1, "currency": "GBP", "sku": f"W{uuid4().hex[:8].upper()}"}
    refused = staff.post("/api/products", {**body, **wrong})
    assert refused.status == 422
    assert refused.json["errors"]


def test_a_product_is_found_by_its_sku(nobody: Api, staff: Api):
    sku = f"BY{uuid4().hex[:8].upper()}"
    body = {"name": "Found by its label", "category": "things", "price": 500, "currency": "GBP", "sku": sku}
    made = staff.post("/api/products", body).json
    assert nobody.get(f"/api/products/by-sku/{sku}").json["id"] == made["id"]
    assert (missing := nobody.get(f"/api/products/by-sku/{sku}X")).status == 404
    assert missing.code == "product_not_found"
    staff.delete(f"/api/products/{made['id']}")
    assert nobody.get(f"/api/products/by-sku/{sku}").status == 404
    assert staff.get(f"/api/products/by-sku/{sku}").status == 200


def test_staff_send_products_as_a_file_and_read_them_as_one(staff: Api, customer: Api, sell: Sell):
    sku = sell(stock=0, price=500)
    file = {"raw": f"sku,price\n{sku},700\nNO-SUCH,1\n".encode(), "headers": {"Content-Type": "text/csv"}}
    dry = staff.call("POST", "/api/products/import", query={"dryRun": "1"}, **file)
    done = staff.call("POST", "/api/products/import", **file)
    assert [item["status"] for item in dry.json["items"]] == ["changed", "refused"]
    assert [item["status"] for item in done.json["items"]] == ["changed", "refused"]
    assert staff.get(f"/api/products/by-sku/{sku}").json["price"] == 700
    assert sku in staff.get("/api/products/export", format="jsonl").body.decode()
    assert customer.call("POST", "/api/products/import", **file).status == 403
    assert customer.get("/api/products/export").status == 403
