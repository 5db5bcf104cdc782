"""Input layer: what no honest client sends is refused before any handler reads it.

Schemas already refuse unknown fields and wrong types, and no filter is ever built from a client's object. This layer
makes sure that not even a field meant for free-form keys could carry an operator: keys with `$`, a dot or NUL,
a key given twice (two parsers may choose differently), nesting and counts without end."""

import re
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import unquote

import msgspec
from sanic import Request

from service.config import Config
from service.errors import Malformed, TooLarge, Unsupported
from service.web.http import forms

# A string with the colon behind it if it is a key, or a bracket. Strings are taken whole, so no bracket in them counts.
# All repetitions are possessive and an unclosed string runs to the end: the time is linear whatever is sent.
TOKEN = re.compile(rb'"((?:[^"\\]++|\\.)*+)(?:"(\s*+:)?)?|[\[{\]}]', re.DOTALL)
OPERATOR_KEY = re.compile(r"[$.\x00]")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
PATH_PART_MAX = 200  # characters; no id of ours is longer
ENCODED_CONTROL = re.compile(r"%(?:[01][0-9a-f]|7f)", re.IGNORECASE)


class OperatorRefused(Malformed):
    code, title = "operator_refused", "Keys with an operator are not accepted"


class EncodedBody(Unsupported):
    code, title = "unsupported_encoding", "Send the body as it is"
    headers: ClassVar[Mapping[str, str]] = {"Accept-Encoding": "identity"}


class DuplicateKey(Malformed):
    code, title = "duplicate_key", "A key was given twice"


class TooDeep(Malformed):
    code, title = "too_deep", "The document is nested too deeply"


class Sanitizer:
    def __init__(self, config: Config) -> None:
        self._depth_max, self._tokens_max = config.json_depth_max, config.json_tokens_max
        self._query_max_bytes = config.query_max_bytes

    def check(self, request: Request, *, foreign: bool = False, rows: bool = False) -> None:
        """Raises Malformed or TooLarge. A `foreign` document is a provider's signed one, whose keys are its own; of a
        file of `rows` each is checked as it is read."""
        self._check_target(request)
        if request.body and request.headers.get("content-encoding", "").strip().lower() not in {"", "identity"}:
            raise EncodedBody("No content coding is taken in requests")
        if rows:
            return
        if request.body and forms.is_form(request):
            self._check_form(request)
        elif request.body:
            self.check_json(request.body, foreign=foreign)

    def _check_form(self, request: Request) -> None:
        if any(CONTROL.search(name + value) for name, value in forms.fields(request).items()):
            raise Malformed("The form contains control characters")

    def _check_target(self, request: Request) -> None:
        path = request.path
        if "%" in path and ENCODED_CONTROL.search(path):
            raise Malformed("The path contains control characters")
        if len(path) > PATH_PART_MAX and any(len(unquote(part)) > PATH_PART_MAX for part in path.split("/")):
            raise Malformed(f"A part of the path is longer than {PATH_PART_MAX} characters")
        query = request.query_string
        if not query:
            return
        if len(query) > self._query_max_bytes:
            raise TooLarge("The query string is longer than allowed")
        for name, value in request.get_query_args(keep_blank_values=True):
            if "$" in name or "." in name or "[" in name:
                raise OperatorRefused(f"Query parameter {name[:40]!r}")
            if not (name.isprintable() and value.isprintable()) and CONTROL.search(name + value):
                raise Malformed("The query string contains control characters")

    def check_json(self, body: bytes, *, foreign: bool = False) -> None:
        """One pass over the structure. It decides nothing about values: the one JSON parser does that."""
        open_keys: list[set[str] | None] = []
        for count, token in enumerate(TOKEN.finditer(body)):
            if count > self._tokens_max:
                raise TooLarge("The document has more parts than allowed")
            text = token[0]
            if text in (b"{", b"["):
                open_keys.append(set() if text == b"{" else None)
                if len(open_keys) > self._depth_max:
                    raise TooDeep(f"More than {self._depth_max} levels")
            elif text in (b"}", b"]"):
                if open_keys:
                    open_keys.pop()
            elif token[2] is not None:
                key = _key(token[1])
                if not foreign and OPERATOR_KEY.search(key):
                    raise OperatorRefused(f"Key {key[:40]!r}")
                _check_alone(key, open_keys[-1] if open_keys else None)


def _key(raw: bytes) -> str:
    try:
        return msgspec.json.decode(b'"' + raw + b'"', type=str) if b"\\" in raw else raw.decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed("A key is not valid JSON text") from None


def _check_alone(key: str, siblings: set[str] | None) -> None:
    if siblings is None:
        return
    if key in siblings:
        raise DuplicateKey(f"Key {key[:40]!r}")
    siblings.add(key)
