"""How large a body a route takes, by what it declares: credentials are small, lists of many lines are large."""

from typing import Any, Literal

import msgspec

BodySize = Literal["small", "default", "bulk", "file"]
CREDENTIAL_LIMITS = frozenset({"login", "register", "reset", "refresh", "account"})  # classes of rate limits
MANY_LINES = 100
LONG_TEXT = 5_000  # characters


def size_of(takes: type[Any], limit: str) -> BodySize:
    if limit in CREDENTIAL_LIMITS:
        return "small"
    return "bulk" if takes is dict or _admits_much(msgspec.inspect.type_info(takes)) else "default"


def _admits_much(kind: msgspec.inspect.Type) -> bool:
    match kind:
        case msgspec.inspect.StructType():
            return any(_admits_much(field.type) for field in kind.fields)
        case msgspec.inspect.UnionType():
            return any(_admits_much(one) for one in kind.types)
        case msgspec.inspect.Metadata():
            return _admits_much(kind.type)
        case msgspec.inspect.ListType():
            return (kind.max_length or MANY_LINES) >= MANY_LINES or _admits_much(kind.item_type)
        case msgspec.inspect.StrType():
            return (kind.max_length or 0) >= LONG_TEXT
    return False
