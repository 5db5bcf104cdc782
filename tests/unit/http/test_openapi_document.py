"""The published document: every route, every answer, examples that fit, and nothing a reader cannot resolve."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from service import bootstrap
from service.app import create_app
from service.catalog.models import RESERVED_SKUS, RESERVED_SLUGS
from service.config import Config
from service.web.openapi.specification import document, is_published
from service.web.security.cookies import CookieNames

PAGES = re.compile(
    r"/(login|logout|register|account/.*|checkout|problems/.*|cart(/.*)?|orders(/.*)?|ops(/.*)?|docs|notices/.*|\.well-known/security\.txt|static/.*|p/.*)?(?![\s\S])"
)
NAMED_IN_THE_CONTRACT = """
    post /api/auth/register, post /api/auth/login, post /api/auth/refresh, post /api/auth/logout, get /api/auth/me,
    get /api/auth/csrf, post /api/auth/password/forgot, post /api/auth/password/reset, get /api/auth/users,
    patch /api/auth/users/{}, get /api/products, get /api/products/search, get /api/products/{},
    get /api/products/categories, post /api/products, patch /api/products/{}, delete /api/products/{},
    get /api/inventory/availability, get /api/inventory/{}, post /api/inventory/{}/adjust, post /api/inventory/receive,
    put /api/inventory/{}/threshold, get /api/inventory/{}/history, get /api/inventory/low-stock,
    get /api/inventory/alerts, post /api/inventory/alerts/{}/acknowledge, post /api/inventory/{}/notify-me,
    delete /api/inventory/{}/notify-me, get /api/inventory/stream, post /api/inventory/jobs/{},
    get /api/inventory/jobs/{}, get /api/cart, put /api/cart/items/{}, delete /api/cart/items/{}, delete /api/cart,
    post /api/cart/merge, post /api/orders, post /api/orders/{}/pay, post /api/orders/{}/cancel,
    post /api/orders/{}/refund, post /api/orders/{}/ship, post /api/orders/{}/deliver, get /api/orders,
    get /api/orders/{}, post /api/orders/webhooks/payment, get /health/live, get /health/ready, get /metrics
"""
Operation = tuple[str, str, dict[str, Any]]


@pytest.fixture(scope="module")
def app() -> Iterator[Any]:
    """Wired on stores that nobody calls."""
    stores = bootstrap.connect(Config())
    shop = bootstrap.build(Config(), stores)
    front = bootstrap.http_edge(shop)
    made = create_app(shop, front, bootstrap.background(shop))
    made.router.finalize()
    yield made
    front.auth.passwords.close()
    stores.client.close()


@pytest.fixture(scope="module")
def published(app: Any) -> dict[str, Any]:
    return document(app.router.routes, CookieNames("access", "refresh", "csrf", "device"), "1")


@pytest.fixture(scope="module")
def operations(published: dict[str, Any]) -> list[Operation]:
    return [(method, path, one) for path, methods in published["paths"].items() for method, one in methods.items()]


def nodes(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield part
        for value in part.values():
            yield from nodes(value)
    elif isinstance(part, list):
        for value in part:
            yield from nodes(value)


def resolved(part: dict[str, Any], whole: dict[str, Any]) -> Any:
    found: Any = whole
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def misfits(value: Any, schema: dict[str, Any], whole: dict[str, Any]) -> list[str]:
    validator = jsonschema.Draft202012Validator({**schema, "components": whole["components"]})
    return [f"{error.json_path} {error.message}" for error in validator.iter_errors(value)]


def test_every_route_is_in_the_document_or_is_a_page(app: Any, operations: list[Operation]):
    described = {(method.upper(), re.sub(r"\{\w+\}", "{}", path)) for method, path, _ in operations}
    for route in app.router.routes:
        path = f"/{route.path}"
        if is_published(path):
            assert (route.ctx.operation.method, re.sub(r"<[^>]*>", "{}", path)) in described
        else:
            assert PAGES.match(path), f"{path} is neither described nor a page"
    assert len(described) == sum(is_published(f"/{route.path}") for route in app.router.routes)


def test_every_row_of_the_contract_is_there(operations: list[Operation]):
    described = {f"{method} {re.sub(r'{[^}]*}', '{}', path)}" for method, path, _ in operations}
    wanted = {row.strip() for row in NAMED_IN_THE_CONTRACT.split(",")}
    assert wanted - described == set()


def test_operation_ids_are_names_and_unique(operations: list[Operation]):
    ids = [one["operationId"] for _, _, one in operations]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][A-Za-z]+", name) for name in ids)


def test_paths_of_one_shape_are_one_path(published: dict[str, Any]):
    shapes = [re.sub(r"{[^}]*}", "{}", path) for path in published["paths"]]
    assert len(set(shapes)) == len(shapes)


def test_path_parameters_are_declared_as_they_are_written(operations: list[Operation]):
    for _, path, one in operations:
        declared = [parameter["name"] for parameter in one["parameters"] if parameter["in"] == "path"]
        assert declared == re.findall(r"{(\w+)}", path)


def test_every_reference_leads_somewhere(published: dict[str, Any]):
    references = [node for node in nodes(published) if "$ref" in node]
    assert len(references) > 100
    for node in references:
        assert resolved(node, published) is not None


def test_no_shape_is_there_for_nothing(published: dict[str, Any]):
    used = {node["$ref"].rpartition("/")[2] for node in nodes(published) if "$ref" in node}
    assert set(published["components"]["schemas"]) == used & set(published["components"]["schemas"])


def test_component_names_are_plain(published: dict[str, Any]):
    for kind in published["components"].values():
        assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in kind)
    assert all("." not in name for name in published["components"]["schemas"])


def test_every_schema_is_one(published: dict[str, Any]):
    for schema in published["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_example_fits_its_schema(published: dict[str, Any], operations: list[Operation]):
    checked, wrong = 0, []
    for node in nodes(published):
        for content in node.get("content", {}).values() if isinstance(node.get("content"), dict) else ():
            if "example" in content:
                checked += 1
                wrong += misfits(content["example"], content["schema"], published)
    assert checked > len(operations)
    assert wrong == []


def test_every_body_and_every_json_answer_has_an_example(published: dict[str, Any], operations: list[Operation]):
    for _, path, one in operations:
        contents = [one["requestBody"]["content"]] if "requestBody" in one else []
        contents += [response.get("content", {}) for response in one["responses"].values()]
        for content in contents:
            assert all("example" in media for kind, media in content.items() if kind.endswith("json")), path


def test_every_operation_says_who_may_call_it_and_what_may_be_refused(
    published: dict[str, Any], operations: list[Operation]
):
    for method, path, one in operations:
        statuses = set(one["responses"])
        assert {"400", "422", "429", "503"} <= statuses, path
        assert one["security"] == [{}] or "401" in statuses, path
        if one["x-access"] in {"staff", "admin"}:
            assert "403" in statuses, path
        if "requestBody" in one:
            assert {"413", "415"} <= statuses, path
        if "{" in path:
            assert "404" in statuses, path
        if method != "get":
            assert "403" in statuses, path


def test_what_moves_money_or_stock_takes_an_idempotency_key(operations: list[Operation]):
    keyed = {path for _, path, one in operations for p in one["parameters"] if p["name"] == "Idempotency-Key"}
    assert keyed == {
        "/api/inventory/import",
        "/api/inventory/receive",
        "/api/inventory/{sku}/adjust",
        "/api/inventory/{sku}/count",
        "/api/orders",
        "/api/orders/{orderId}/cancel",
        "/api/orders/{orderId}/pay",
        "/api/orders/{orderId}/refund",
        "/api/orders/{orderId}/returns",
        "/api/orders/{orderId}/returns/{returnId}/cancel",
        "/api/orders/{orderId}/returns/{returnId}/close",
        "/api/orders/{orderId}/returns/{returnId}/inspect",
        "/api/orders/{orderId}/returns/{returnId}/receive",
        "/api/orders/{orderId}/returns/{returnId}/refuse",
    }


def test_times_on_the_way_out_are_times(published: dict[str, Any]):
    view = published["components"]["schemas"]["OrderView"]["properties"]
    assert view["createdAt"]["format"] == "date-time"
    entry = published["components"]["schemas"]["AlertView"]["properties"]["acknowledgedAt"]
    assert {"type": "null"} in entry["anyOf"]


def test_a_placed_order_links_to_what_can_be_done_with_it(published: dict[str, Any]):
    links = published["paths"]["/api/orders"]["post"]["responses"]["201"]["links"]
    assert set(links) == {
        *("ordersPay", "ordersCancel", "ordersRefund", "ordersShip", "ordersDeliver", "ordersOne"),
        *("ordersClaim", "ordersForgetGuest", "returnsRequestReturn", "returnsListReturns"),
    }
    assert links["ordersPay"]["parameters"] == {"path.orderId": "$response.body#/order/id"}


def test_patterns_mean_the_same_to_every_reader(published: dict[str, Any]):
    """Python's own way to say "the end" is written as the one JSON Schema knows, and what is a space is written out."""
    patterns = [node["pattern"] for node in nodes(published) if isinstance(node.get("pattern"), str)]
    assert patterns
    assert not [pattern for pattern in patterns if "(?!" in pattern or "\\S" in pattern]
    assert all("\\x85" in pattern and "\\ufeff" in pattern for pattern in patterns if "\\s" in pattern)


def test_what_may_be_asked_conditionally_says_how(operations: list[Operation]):
    conditional = [one for _, _, one in operations if "304" in one["responses"]]
    assert len(conditional) > 5
    for one in conditional:
        assert "If-None-Match" in {parameter["name"] for parameter in one["parameters"]}
        assert all("ETag" in one["responses"][status]["headers"] for status in ("200", "304"))


def test_a_client_generator_finds_no_field_it_would_always_send(published: dict[str, Any]):
    """Generators take a field with a default for one that is always there: the default is said in words."""
    checkout = published["components"]["schemas"]["CheckoutBody"]
    assert checkout["properties"]["fromCart"] == {"type": "boolean", "description": "`false` if left out."}
    bodies = published["components"]["schemas"].values()
    assert [field for schema in bodies for field in schema.get("properties", {}).values() if "default" in field] == []


def test_the_example_of_a_checkout_is_one(published: dict[str, Any]):
    shown = published["paths"]["/api/orders"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert shown == {"items": [{"sku": "85123A", "quantity": 2}]}


def test_what_a_target_may_not_contain_is_said(operations: list[Operation]):
    targets = [p["schema"] for _, _, one in operations for p in one["parameters"] if p["in"] in {"path", "query"}]
    texts = [schema.get("items", schema) for schema in targets]
    free = [schema for schema in texts if schema.get("type") == "string" and not {"enum", "format"} & schema.keys()]
    assert len(free) > 40
    assert all(re.match(schema["pattern"], "a\x07") is None for schema in free)


def test_every_operation_is_described_in_sentences(operations: list[Operation]):
    bare = {f"{method} {path}" for method, path, written in operations if len(written.get("description", "")) < 20}
    assert bare == set(), "the handler's docstring is the description"
    same = {f"{method} {path}" for method, path, written in operations if written["description"] == written["summary"]}
    assert same == set()


def test_the_example_of_an_order_is_in_the_state_its_operation_leaves_it_in(published: dict[str, Any]):
    after = {"": "pending", "/{}/pay": "paid", "/{}/cancel": "cancelled", "/{}/refund": "refunded"}
    after |= {"/{}/ship": "shipped", "/{}/deliver": "delivered"}
    seen = 0
    for path, methods in published["paths"].items():
        ending = re.sub(r"{\w+}", "{}", path.removeprefix("/api/orders"))
        if "post" not in methods or ending.rstrip("/") not in after or not path.startswith("/api/orders"):
            continue
        answers = methods["post"]["responses"]
        answer = answers.get("201") or answers["200"]
        order, seen = answer["content"]["application/json"]["example"]["order"], seen + 1
        assert order["status"] == order["history"][-1]["status"] == after[ending.rstrip("/")]
        assert sum(line["lineTotal"] for line in order["items"]) == order["subtotal"]
        assert order["total"] == order["subtotal"] - order["discount"]
        assert (order["reservation"]["status"] == "active") == (order["status"] == "pending")
        assert (order["cancelReason"] is None) == (order["status"] != "cancelled")
    assert seen == len(after)


@pytest.mark.parametrize(
    ("parameters", "reserved"), [({"sku"}, RESERVED_SKUS), ({"id_or_slug", "slug"}, RESERVED_SLUGS)]
)
def test_no_name_of_a_shop_is_taken_for_a_word_of_the_api(app: Any, parameters: set[str], reserved: set[str]) -> None:
    """A product or SKU called like a literal that shares its place in a path could never be reached."""
    paths = [tuple(route.path.strip("/").split("/")) for route in app.router.routes]
    named = {
        path[:place]
        for path in paths
        for place, part in enumerate(path)
        if part.startswith("<") and part.strip("<>").partition(":")[0] in parameters
    }
    words = {
        path[len(front)] for front in named for path in paths if path[: len(front)] == front and path[len(front) :]
    }
    assert named
    assert {word for word in words if not word.startswith("<")} - {""} <= reserved
