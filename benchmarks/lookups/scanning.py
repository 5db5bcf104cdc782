"""The same queries without their index: every command is told to read the collection from end to end.

The repositories run unchanged on it; only the plan differs."""

from collections.abc import Sequence
from typing import Any

from service.infra.mongo.commands import FindCommand

FROM_END_TO_END = [("$natural", 1)]


class ScanningDatabase:
    def __init__(self, database: Any) -> None:
        self._database = database

    def __getitem__(self, name: str) -> "ScanningCollection":
        return ScanningCollection(self._database[name])

    async def find_all(self, finds: Sequence[FindCommand], session: None) -> list[Any]:
        return [await self._found(find) for find in finds]

    async def _found(self, find: FindCommand) -> Any:
        found = self[find.collection].find(find.filter, find.projection, sort=list(find.sort), limit=find.limit)
        return await found.to_list(None)


class ScanningCollection:
    def __init__(self, collection: Any) -> None:
        self._collection = collection

    def find(self, *arguments: Any, **options: Any) -> Any:
        return self._collection.find(*arguments, **options, hint=FROM_END_TO_END)

    def find_one(self, *arguments: Any, **options: Any) -> Any:
        return self._collection.find_one(*arguments, **options, hint=FROM_END_TO_END)

    def find_one_and_update(self, *arguments: Any, **options: Any) -> Any:
        return self._collection.find_one_and_update(*arguments, **options, hint=FROM_END_TO_END)

    def aggregate(self, *arguments: Any, **options: Any) -> Any:
        return self._collection.aggregate(*arguments, **options, hint=dict(FROM_END_TO_END))
