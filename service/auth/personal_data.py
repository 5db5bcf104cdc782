"""What the shop knows about a person, as a document for them (GDPR articles 15 and 20). Each domain gives its part."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from service.infra import json

Collect = Callable[[str], Awaitable[Sequence[Any]]]
RECORDS_MAX = 10_000  # of each kind, the newest ones


class PersonalData:
    """`collectors` give the records of a user, by their name in the document."""

    def __init__(self, collectors: Mapping[str, Collect]) -> None:
        self._collectors = collectors

    async def of(self, user_id: str) -> dict[str, list[Any]]:
        return {
            name: [plain(record) for record in await collect(user_id)] for name, collect in self._collectors.items()
        }


def plain(record: Any) -> Any:
    """As it crosses the wire."""
    return _camel(msgspec.json.decode(json.encode(record)))


def _camel(part: Any) -> Any:
    if isinstance(part, dict):
        return {_name(name): _camel(value) for name, value in part.items()}
    return [_camel(value) for value in part] if isinstance(part, list) else part


def _name(name: str) -> str:
    head, *rest = name.lstrip("_").split("_")
    return head + "".join(word.capitalize() for word in rest)
