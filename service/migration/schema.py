"""The schema version: which form of the stores this version of the service writes, and which versions run together.

One document in MongoDB says which form the stores have. A version of the service runs on stores of its own schema, on
older ones down to `OLDEST_STORE` as long as nobody has migrated them, and on newer ones as long as those name it in
`oldestProcess`: so stores are migrated first, and the processes follow one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.infra.mongo.client import Database
from service.setting_rules import ConfigError

# A change of an index, of the keys of search or of a stored form is a new version. 1 is 0.1.0, which noted none.
VERSION = 2
OLDEST_STORE = 1
OLDEST_PROCESS = 1  # whose processes may still run on stores of this version
OF_FIRST = ("reviews.productId_1_userId_1",)  # what 0.1.0 made and no later version declares
RUN = "run `holdfast migrate`"


class SchemaMismatch(ConfigError):
    """This version must not touch these stores."""


@dataclass(frozen=True, slots=True)
class Stored:
    """`indexes` are those that the service has made, `retired` those of them that are not declared any more, each with
    the schema version that saw it first so; both by "collection.name"."""

    version: int = OLDEST_STORE
    oldest_process: int = 1
    indexes: tuple[str, ...] = OF_FIRST
    retired: Mapping[str, int] | None = None

    def retired_before(self, version: int) -> set[str]:
        return {name for name, since in (self.retired or {}).items() if since < version}


def check_window(stored: Stored, version: int = VERSION) -> str | None:
    """What is to be said at a start, or None. Raises SchemaMismatch for stores that this version must not touch."""
    if stored.oldest_process > version:
        raise SchemaMismatch(
            f"The stores have schema {stored.version}, which processes of schema {stored.oldest_process} and later may "
            f"use; this version has schema {version}: run a newer version, or restore an older backup"
        )
    if stored.version < OLDEST_STORE:
        raise SchemaMismatch(
            f"The stores have schema {stored.version}, and this version reads {OLDEST_STORE} and later: "
            "migrate with a version in between first"
        )
    if stored.version < version:
        return f"the stores have schema {stored.version} and this version {version}: {RUN}"
    if stored.version > version:
        return f"the stores have schema {stored.version}, this process is of schema {version}: upgrade it"
    return None


class SchemaStore:
    def __init__(self, database: Database) -> None:
        self._schema = database["schema"]

    async def read(self) -> Stored | None:
        """None in stores that were never migrated: new ones, or such as 0.1.0 has made."""
        found = await self._schema.find_one({"_id": "schema"})
        if found is None:
            return None
        retired = {each["index"]: each["since"] for each in found["retired"]}
        return Stored(found["version"], found["oldestProcess"], tuple(found["indexes"]), retired)

    async def write(self, stored: Stored, by: str, at: datetime) -> None:
        retired = [{"index": name, "since": since} for name, since in sorted((stored.retired or {}).items())]
        fields: dict[str, Any] = {
            "version": stored.version,
            "oldestProcess": stored.oldest_process,
            "indexes": sorted(stored.indexes),
            "retired": retired,
            "migratedAt": at,
            "migratedBy": by,
        }
        await self._schema.update_one({"_id": "schema"}, {"$set": fields}, upsert=True)


class Epochs:
    """How often an older backup was put back. What was told to others before is of an epoch that never came to be:
    whoever compares versions starts anew with a new epoch."""

    def __init__(self, database: Database) -> None:
        self._schema = database["schema"]

    async def current(self) -> int:
        found = await self._schema.find_one({"_id": "epoch"})
        return 0 if found is None else int(found["number"])

    async def begin(self, at: datetime) -> int:
        """The backup may be older than the last restoration, so numbers are taken from the clock: they only grow."""
        number = max(await self.current() + 1, int(at.timestamp()))
        await self._schema.update_one({"_id": "epoch"}, {"$set": {"number": number, "begunAt": at}}, upsert=True)
        return number


async def holds_nothing(database: Database, collections: Sequence[str]) -> bool:
    """Whether these are new stores: nothing of ours was ever written."""
    for collection in collections:
        if await database[collection].find_one({}, {"_id": 1}) is not None:
            return False
    return True
