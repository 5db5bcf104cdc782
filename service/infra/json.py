"""JSON as the service writes it, from documents as the driver hands them out."""

from typing import Any

import msgspec
from bson.int64 import Int64


def _whole_number(value: Any) -> int:
    """The driver has a class of its own for integers that the store keeps in 64 bits. To have it make plain ones
    instead doubles what reading a document costs."""
    if isinstance(value, Int64):
        return int(value)
    # What msgspec asks of a hook for everything it does not know.
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")


encode = msgspec.json.Encoder(decimal_format="number", enc_hook=_whole_number).encode
