"""What a published document owes its readers about limits: every string, list and number has a bound, every answer
says how often one may ask and who may read it across origins. The rules are those of the OWASP API Security Top 10."""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = dict[str, Any]

TEXT_MAX = 2**20  # no text that comes or goes is longer than the largest body
LIST_MAX = 10_000
INT32 = 2**31 - 1
EXACT_MAX = 2**53 - 1  # what every JSON reader keeps exact
COUNTED = ("RateLimit", "RateLimit-Policy")
ORIGIN = "Access-Control-Allow-Origin"
SECURITY = (
    "A JWT (RFC 7519) used as RFC8725 asks: one fixed algorithm; `typ`, issuer and audience checked; minutes of life; "
    "refused at once when its session ends."
)


def bounded(document: dict[str, Any]) -> dict[str, Any]:
    """The same document with every bound written out."""
    for schema in _schemas(document):
        _bound(schema)
    headers = document["components"]["headers"]
    headers[ORIGIN] = {
        "description": "Your page's origin if it is allow-listed; absent otherwise.",
        "schema": {"type": "string", "maxLength": 255},
    }
    for status, response in _responses(document):
        names = [ORIGIN, *(COUNTED if status[0] in "24" else ())]
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names} | response.get(
            "headers", {}
        )
    for operation in (each for path in document["paths"].values() for each in path.values()):
        operation["security"] = operation["security"] or [{}]  # said aloud: anybody
    for server in document["servers"]:
        server["x-internal"] = False
    document["components"]["securitySchemes"]["bearer"]["description"] = SECURITY
    return document


def _bound(schema: Schema) -> None:
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if "enum" in schema or "const" in schema:
        return
    if "string" in kinds:
        schema.setdefault("maxLength", TEXT_MAX)
    if "array" in kinds:
        schema.setdefault("maxItems", LIST_MAX)
    if "integer" in kinds:
        schema.setdefault("minimum", -EXACT_MAX)
        schema.setdefault("maximum", EXACT_MAX)
        fits = schema["minimum"] >= -INT32 and schema["maximum"] <= INT32
        schema.setdefault("format", "int32" if fits else "int64")


def _schemas(part: Any) -> Iterator[Schema]:
    """Every schema that says its type, wherever it stands. Examples are no schemas."""
    if isinstance(part, Mapping):
        if isinstance(part.get("type"), str | list) and ("properties" not in part or isinstance(part["type"], str)):
            yield part  # type: ignore[misc]
        for name, inner in part.items():
            if name not in {"example", "examples", "default", "enum", "const"}:
                yield from _schemas(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _schemas(inner)


def _responses(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in document["paths"].values():
        for operation in path.values():
            yield from ((status, one) for status, one in operation["responses"].items() if "$ref" not in one)
    yield from document["components"]["responses"].items()
