"""The API for people: the published document as one page, without a script."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from markupsafe import Markup
from sanic import Blueprint

from service.pages.render import Pages
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, operation
from service.web.openapi.routes import Published


def routes(published: Published, pages: Pages) -> Blueprint:
    """`published` gives the document of the app that was asked."""
    blueprint = Blueprint("docs")

    @lru_cache(maxsize=1)
    def written(app: Any) -> Markup:
        """All but what is the caller's: the same for everybody, and long to write."""
        document = published.document(app)
        values = {"document": document, "groups": _groups(document), "schemas": document["components"]["schemas"]}
        return pages.part("docs_main.html", pretty=pretty, kind=kind, marked=marked, **values)

    @operation(blueprint, "GET", "/docs", "The API", returns={200: None}, access=Access.PUBLIC, limit="read")
    async def docs(call: Call[Nothing]) -> Reply:
        return pages.page(call.request, "docs.html", written=written(call.request.app))

    return blueprint


def _groups(document: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The operations by tag, in the document's order."""
    groups: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            responses = {status: _resolved(one, document) for status, one in described["responses"].items()}
            shown = {**described, "method": method.upper(), "path": path, "responses": responses}
            groups[described["tags"][0]].append(shown)
    return groups


def _resolved(response: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in response:
        return response
    shared: Mapping[str, Any] = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return shared


def marked(text: str) -> list[tuple[str, bool]]:
    """Text cut into plain parts and parts between backticks, which are code."""
    return [(part, bool(number % 2)) for number, part in enumerate(text.split("`")) if part]


def pretty(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def kind(schema: Mapping[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(kind(option) for option in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f'"{value}"' for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    return " ".join([schema.get("format") or schema.get("type", "anything"), *_limits(schema)])


def _limits(schema: Mapping[str, Any]) -> list[str]:
    words = {"minimum": "≥", "maximum": "≤", "minLength": "length ≥", "maxLength": "length ≤", "pattern": "matching"}
    return [f"{word} {schema[name]}" for name, word in words.items() if name in schema]
