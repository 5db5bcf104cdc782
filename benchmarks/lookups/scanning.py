"""The same queries without their index: every command is told to read the collection from end to end.

The repositories run unchanged on it; only the plan differs."""

from typing import Any

FROM_END_TO_END = [("$natural", 1)]


class ScanningDatabase:
    def __init__(self, database: Any) -> None:
        self._database = database

    def __getitem__(self, name: str) -> "ScanningCollection":
        return ScanningCollection(self._database[name])


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
