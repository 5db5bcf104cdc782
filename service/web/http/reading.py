"""A request's path parameters, query string and body as the types a route declares, or a refusal that names faults."""

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import reduce
from operator import or_
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin
from urllib.parse import unquote_to_bytes

import msgspec
from sanic import Request

from service.errors import Invalid, Malformed, Unsupported
from service.web.http.instants import in_utc
from service.web.http.validation import refusal

BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def segment(raw: str) -> str:
    """A path parameter, percent-decoded once: `%2F` stays inside it, `%2541` is `%41` (RFC 3986 §2.4)."""
    if "%" not in raw:
        return raw
    if BAD_ESCAPE.search(raw):
        raise Malformed("A % in the path is not followed by two hexadecimal digits")
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise Malformed("The path is not UTF-8 where it is percent-encoded") from None


def media_type(request: Request) -> str:
    """What the body says it is, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def body_reader(takes: type[Any], *, optional: bool = False) -> Callable[[Request], Any]:
    decoder, turn = msgspec.json.Decoder(takes), in_utc(takes)

    def read(request: Request) -> Any:
        if optional and not request.body:
            return takes()
        taken = _read_body(request, decoder)
        return taken if turn is None else turn(taken)

    return read


def query_reader(takes: type[Any], *, ignore_unknown: bool) -> Callable[[Request], Any]:
    asked, turn = _of_strings(takes), in_utc(takes)
    fields = msgspec.structs.fields(asked)
    shape = {field.encode_name: _is_list(field.type) for field in fields}
    empty = None if any(field.required for field in fields) else asked()

    def read(request: Request) -> Any:
        if empty is not None and not request.query_string:
            return empty
        taken = converted(_given(request, shape, ignore_unknown), asked, strict=False)
        return taken if turn is None else turn(taken)

    return read


def fingerprint(request: Request, taken: Any, path_parameters: Mapping[str, str]) -> str:
    """What was asked, whatever bytes said so: another order of keys, other blanks, a slash more."""
    asked = [request.method, request.route.path.strip("/") if request.route else "", dict(path_parameters), taken]
    return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).hexdigest()


def _of_strings(takes: type[Any]) -> type[Any]:
    """The same without null, which no query string can say: "null" there is a word like any other."""
    overridden = []
    for field in msgspec.structs.fields(takes):
        kinds = [kind for kind in get_args(field.type) if kind is not NoneType]
        if get_origin(field.type) in {Union, UnionType} and len(kinds) < len(get_args(field.type)):
            overridden.append((field.name, reduce(or_, kinds), field.default))
    if not overridden:
        return takes
    return msgspec.defstruct(takes.__name__, overridden, bases=(takes,), kw_only=True, rename="camel")


def _is_list(kind: Any) -> bool:
    return any(get_origin(t) in {list, tuple} or t in {list, tuple} for t in (kind, *get_args(kind)))


def _given(request: Request, shape: Mapping[str, bool], ignore_unknown: bool) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, value in request.get_query_args(keep_blank_values=True):
        if shape.get(name):
            given.setdefault(name, []).append(value)
        elif ignore_unknown and (name not in shape or name in given):
            continue
        elif name in given:
            raise Invalid(f"{name}: Given more than once", errors=[{"path": name, "message": "Given more than once"}])
        else:
            given[name] = value
    return given


def _read_body(request: Request, decoder: msgspec.json.Decoder[Any]) -> Any:
    if media_type(request) != "application/json":
        raise Unsupported()
    try:
        return decoder.decode(request.body)
    except msgspec.ValidationError as error:
        return converted(_with_integers(_parsed(request.body, error)), decoder.type, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(str(error)) from None


def _parsed(body: bytes, error: msgspec.ValidationError) -> Any:
    """Without a schema. A number too large for any type is no fault of the schema's."""
    try:
        return msgspec.json.decode(body)
    except msgspec.ValidationError:
        raise Invalid(str(error)) from None


def _with_integers(part: Any) -> Any:
    """JSON has one kind of number: 3.0 is the integer 3, to JSON Schema and to clients that know no other."""
    if isinstance(part, float) and part.is_integer():
        return int(part)
    if isinstance(part, dict):
        return {name: _with_integers(inner) for name, inner in part.items()}
    return [_with_integers(inner) for inner in part] if isinstance(part, list) else part


def converted(given: Any, takes: type[Any], *, strict: bool = False) -> Any:
    """`given` as what a route takes. Raises Invalid."""
    try:
        return msgspec.convert(given, takes, strict=strict)
    except msgspec.ValidationError:
        raise refusal(given, takes, strict=strict) from None
