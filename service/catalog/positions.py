"""Where a sorted list goes on: the sort order and its last values, opaque to the client, checked on the way back."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from service.catalog.models import Sort
from service.catalog.repository import Place
from service.catalog.schemas import PRICE_MAX
from service.errors import Invalid
from service.web.http import cursor

NUMBER_MAX = 2**53
Number = Annotated[int, msgspec.Meta(ge=-NUMBER_MAX, le=NUMBER_MAX)]
POSITIONS: dict[Sort, Any] = {
    Sort.RELEVANCE: tuple[Number, str],
    Sort.NEWEST: tuple[datetime, str],
    Sort.PRICE_ASC: tuple[Annotated[int, msgspec.Meta(ge=0, le=PRICE_MAX)], str],
    Sort.PRICE_DESC: tuple[Annotated[int, msgspec.Meta(ge=0, le=PRICE_MAX)], str],
    Sort.RATING: tuple[float, str],
    Sort.POPULAR: tuple[Number, str],
}


class ListPosition(msgspec.Struct, array_like=True):
    """A cursor of one sort order means nothing in another."""

    sort: str
    place: Any


def cursor_of(sort: Sort, place: Place) -> str:
    return cursor.encode(ListPosition(sort.value, place))


def place_of(given: str | None, sort: Sort) -> Place | None:
    """Raises Invalid on a cursor of another list or another sort order."""
    if given is None:
        return None
    position = cursor.decode(given, ListPosition)
    try:
        if position.sort != sort.value:
            raise msgspec.ValidationError("another sort order")
        place: Place = msgspec.convert(position.place, POSITIONS[sort])
    except msgspec.ValidationError:
        raise Invalid(errors=[{"path": "cursor", "message": "Not a cursor of this list"}]) from None
    return place
