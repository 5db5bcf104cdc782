"""Keyset cursors: the sort values of the last item, opaque to the client, checked on the way back in."""

import base64
import binascii
from datetime import datetime
from typing import TypeVar

import msgspec

from service.errors import Invalid
from service.infra import json
from service.web.http.instants import in_utc

Position = TypeVar("Position")


def encode(position: object) -> str:
    return base64.urlsafe_b64encode(json.encode(position)).rstrip(b"=").decode()


def decode(cursor: str, kind: type[Position]) -> Position:
    """The position as `kind`. Raises Invalid on anything this service did not write."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position, turn = msgspec.json.decode(raw, type=kind), in_utc(kind)
        return position if turn is None else turn(position)
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError, Invalid):
        raise Invalid(errors=[{"path": "cursor", "message": "Not a cursor of this list"}]) from None


class TimePosition(msgspec.Struct, array_like=True):
    """Where a list ordered by time, then id, goes on."""

    at: datetime
    id: str
