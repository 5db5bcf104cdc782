"""Instants that come in are turned to UTC where they are decoded: nothing behind has to think of zones, and one that
has no place in UTC (9999-12-31T23:59:59-05:00) is refused as what it is, a bad value."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec

from service.errors import Invalid

NO_PLACE = "Must be a date and time that exists in UTC, from year 1 to 9999"


def in_utc(kind: Any) -> Callable[[Any], Any] | None:
    """What turns the instants in a decoded `kind`; None when it holds none. Raises Invalid."""
    return _turn if _holds_instants(kind) else None


def _holds_instants(kind: Any) -> bool:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return any(_holds_instants(field.type) for field in msgspec.structs.fields(kind))
    return kind is datetime or any(_holds_instants(part) for part in get_args(kind))


def _turn(value: Any, path: str = "") -> Any:
    if isinstance(value, datetime):
        return _turned(value, path)
    if isinstance(value, msgspec.Struct):
        for field in msgspec.structs.fields(value):
            found = getattr(value, field.name)
            turned = _turn(found, f"{path}.{field.encode_name}" if path else field.encode_name)
            if turned is not found:
                msgspec.structs.force_setattr(value, field.name, turned)
        return value
    if isinstance(value, list):
        return [_turn(one, f"{path}[{place}]") for place, one in enumerate(value)]
    return value


def _turned(instant: datetime, path: str) -> datetime:
    if instant.tzinfo is None or instant.tzinfo is UTC:
        return instant.replace(tzinfo=UTC)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise Invalid(f"{path}: {NO_PLACE}", errors=[{"path": path, "message": NO_PLACE}]) from None
