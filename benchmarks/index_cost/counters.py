"""The server's own count of what it writes into each index: exact, the same on every machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Name = tuple[str, str]  # collection, index


@dataclass(frozen=True, slots=True)
class Written:
    """Keys put in and taken out, and the bytes of both."""

    keys_in: float = 0
    keys_out: float = 0
    size: float = 0

    def __sub__(self, before: "Written") -> "Written":
        return Written(self.keys_in - before.keys_in, self.keys_out - before.keys_out, self.size - before.size)

    def per(self, count: int) -> "Written":
        return Written(self.keys_in / count, self.keys_out / count, self.size / count)

    @property
    def keys(self) -> float:
        return self.keys_in + self.keys_out


async def written(database: Any) -> dict[Name, Written]:
    """Since the server started, of every index of every collection."""
    found: dict[Name, Written] = {}
    for collection in await database.list_collection_names():
        stats = await database.command("collStats", collection, indexDetails=True)
        found |= {(collection, name): _written(details) for name, details in stats["indexDetails"].items()}
    return found


def _written(details: Mapping[str, Any]) -> Written:
    cursor = details["cursor"]
    size = cursor["insert key and value bytes"] + cursor["remove key bytes removed"]
    return Written(cursor["insert calls"], cursor["remove calls"], size)


def difference(after: Mapping[Name, Written], before: Mapping[Name, Written], count: int) -> dict[Name, Written]:
    """What `count` orders wrote, per order; only the indexes that were written at all."""
    spent = {name: (now - before.get(name, Written())).per(count) for name, now in after.items()}
    return {name: each for name, each in spent.items() if each.keys}
