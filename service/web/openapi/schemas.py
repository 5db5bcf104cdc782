"""JSON Schemas of what crosses the wire, and examples that satisfy them, for the published document."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import inspect

from service.web.http.operation import SPACES

REF = "#/components/schemas/"
END_OF_TEXT = r"(?![\s\S])"  # in Python `$` also matches before a last newline; in JSON Schema it does not
PLAIN_TEXT = r"^[^\x00-\x1f\x7f]*$"  # a target with control characters is refused (`sanitize.py`)
NOT_BLANK = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f\x85\ufeff][^\x00-\x1f\x7f]*$"
PLAIN: Mapping[Any, str] = {None: PLAIN_TEXT, rf"[^{SPACES}]": NOT_BLANK}
MOMENT = {"type": "string", "format": "date-time"}
DEPTH_MAX = 5  # a tree's example has an end
USUAL: Mapping[str, Any] = {
    "id": "01a2054e93214c8674383bd32e56",
    "orderId": "01a2054e93214c8674383bd32e56",
    "productId": "01a2054e1fab19bf59938a3d4195",
    "userId": "01a205479d0e3b9c11d5a0c4f2b7",
    "number": "HF-7K3M9QXA2B",
    "sku": "85123A",
    "slug": "white-hanging-heart",
    "name": "White hanging heart",
    "currency": "GBP",
    "email": "ada@example.org",
    "nextCursor": None,
    "token": "a" * 43,
    "password": "correct horse battery",
}

Schema = dict[str, Any]


def components(types: Sequence[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """A schema for each type, and the named ones they refer to."""
    schemas, named = msgspec.json.schema_components(types, ref_template=REF + "{name}")
    for struct in _structs(inspect.multi_type_info(types)):
        known = named.get(struct.cls.__name__) or named[f"{struct.cls.__module__}.{struct.cls.__qualname__}"]
        for field in struct.fields:
            if _is_moment(field.type):
                known["properties"][field.encode_name] = _as_moment(field)
    return [_published(schema) for schema in schemas], {_short(name): _published(one) for name, one in named.items()}


def _structs(types: Iterable[inspect.Type]) -> Iterable[inspect.StructType]:
    seen: set[Any] = set()
    waiting = list(types)
    while waiting:
        kind = waiting.pop()
        waiting += _parts(kind)
        if isinstance(kind, inspect.StructType) and kind.cls not in seen:
            seen.add(kind.cls)
            waiting += [field.type for field in kind.fields]
            yield kind


def _parts(kind: inspect.Type) -> list[inspect.Type]:
    match kind:
        case inspect.UnionType():
            return list(kind.types)
        case inspect.ListType():
            return [kind.item_type]
        case inspect.DictType():
            return [kind.value_type]
        case inspect.Metadata():
            return [kind.type]
    return []


def _is_moment(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.DateTimeType) or (
        isinstance(kind, inspect.UnionType) and any(_is_moment(option) for option in kind.types)
    )


def _as_moment(field: inspect.Field) -> Schema:
    """msgspec names the format only of datetimes that must have a zone; ours have one on the way out too."""
    nullable = isinstance(field.type, inspect.UnionType) and any(
        isinstance(option, inspect.NoneType) for option in field.type.types
    )
    return {"anyOf": [MOMENT, {"type": "null"}]} if nullable else dict(MOMENT)


def _short(name: str) -> str:
    """Two domains may each have a PageQuery: the document calls them by domain."""
    parts = name.split(".")
    return name if len(parts) == 1 else parts[-3].capitalize() + parts[-1]


def _published(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_published(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: _published(part) for name, part in schema.items()}
    if isinstance(parts.get("pattern"), str):
        parts["pattern"] = parts["pattern"].replace(END_OF_TEXT, "$")
    if "$ref" in parts:
        parts["$ref"] = REF + _short(parts["$ref"].removeprefix(REF))
    return parts


def query_parameters(schema: Schema) -> list[dict[str, Any]]:
    """A GET operation's `takes`, field by field. A query cannot say null: an optional field is left out."""
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _plain(_without_null(field))}
        | ({"style": "form", "explode": True} if field.get("type") == "array" else {})
        for name, field in schema.get("properties", {}).items()
    ]


def _without_null(schema: Schema) -> Schema:
    rest = {name: value for name, value in schema.items() if not (name == "default" and value is None)}
    if "enum" in rest:
        rest["enum"] = [value for value in rest["enum"] if value is not None]
    options = [option for option in rest.get("anyOf", ()) if option != {"type": "null"}]
    if "anyOf" not in rest:
        return rest
    rest.pop("anyOf")
    return {**rest, **options[0]} if len(options) == 1 else {**rest, "anyOf": options}


def _plain(schema: Schema) -> Schema:
    if schema.get("type") == "array":
        return {**schema, "items": _plain(schema["items"])}
    free = schema.get("type") == "string" and not {"enum", "format"} & schema.keys()
    return {**schema, "pattern": PLAIN.get(schema.get("pattern"), schema.get("pattern"))} if free else schema


def defaults_in_words(named: Mapping[str, Schema]) -> None:
    """Says what a field left out is. Client generators take one with `default` for always there, in bodies too."""
    for schema in named.values():
        for name, field in schema.get("properties", {}).items():
            default = field.pop("default", None)
            if default is not None and name not in schema.get("required", ()):
                said = f"`{msgspec.json.encode(default).decode()}` if left out."
                field["description"] = f"{field['description']}. {said}" if "description" in field else said


def example(schema: Schema, named: Mapping[str, Schema], name: str = "", depth: int = 0) -> Any:
    """A value the schema accepts: the fields' own examples where they have some, else what is usual under its name."""
    if "$ref" in schema:
        return example(named[schema["$ref"].removeprefix(REF)], named, name, depth)
    for given in ("examples", "enum"):
        if schema.get(given):
            return schema[given][0]
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return USUAL[name] if name in USUAL else example(options[0], named, name, depth + 1)
    return _of_type(schema, named, name, depth)


def overlaid(shown: Any, given: Any) -> Any:
    """An example with what an operation gives of its own, part by part: values that must agree with each other."""
    if isinstance(shown, dict) and isinstance(given, Mapping):
        return {**shown, **{name: overlaid(shown.get(name), part) for name, part in given.items()}}
    if isinstance(shown, list) and shown and isinstance(given, list):
        return [overlaid(shown[0], part) for part in given]
    return given


def _of_type(schema: Schema, named: Mapping[str, Schema], name: str, depth: int) -> Any:
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            return {key: example(field, named, key, depth + 1) for key, field in fields.items() if _shown(key, schema)}
        case "array":
            deep = depth > DEPTH_MAX and not schema.get("minItems")
            return [] if deep else [example(schema.get("items", {}), named, name, depth + 1)]
        case "string":
            if schema.get("format") == "date-time":
                return "2026-05-01T12:00:00Z"
            return USUAL.get(name, "text")
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
    return {}


def _shown(name: str, schema: Schema) -> bool:
    """Required fields, and optional ones that say what is usual: an example stays short."""
    field = schema["properties"][name]
    return name in schema.get("required", ()) or bool(field.get("examples"))
