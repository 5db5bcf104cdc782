"""Documents to prove indexes on, made from the indexes' own probes: some answer each query, thousands do not.

A live collection may be empty, tiny or lopsided, and what the planner chooses there says little about the day it has
grown. Here every collection has the same few thousand skewed documents, so a proof means the same on every database.
"""

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from service.infra.mongo.indexes import Index

DOCUMENTS = 2_000
ANSWERS_SHARE = 0.3  # of the documents: divided among a collection's probes
INDEXED_SHARE = 0.3  # of the others: what a partial index holds beside its probe's answers
PRESENT_SHARE = 0.2  # of those that do not answer: how many have an optional field, or a flag that is set
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
YEAR_SECONDS = 365 * 86_400
VARIANTS = 400

Document = dict[str, Any]


def samples(indexes: Sequence[Index], count: int = DOCUMENTS, seed: int = 1) -> list[Document]:
    """`count` documents for one collection and its indexes. The same seed gives the same documents."""
    return _Maker(indexes, random.Random(seed)).documents(count)


class _Maker:
    def __init__(self, indexes: Sequence[Index], chance: random.Random) -> None:
        self._indexes, self._chance = indexes, chance
        self._lists = {path for index in indexes for path in index.lists}
        self._optional = {key for index in indexes if index.sparse for key, _ in index.keys}
        self._unique = {index.keys[0][0] for index in indexes if index.unique}
        self._examples = _examples(indexes)

    def documents(self, count: int) -> list[Document]:
        numbers = list(range(count))
        self._chance.shuffle(numbers)
        return [self._document(number) for number in numbers]

    def _document(self, number: int) -> Document:
        document: Document = {}
        for path, example in self._examples.items():
            if path not in self._optional or self._chance.random() < PRESENT_SHARE:
                unlike = f"{example}-{number}" if path in self._unique else self._stranger(example)
                self._put(document, path, unlike)
        index = self._chance.choice(self._indexes)
        if self._chance.random() < ANSWERS_SHARE:
            self._answer(document, index.partial or {}, index.probe.filter, index=index)
        elif self._chance.random() < INDEXED_SHARE:
            self._answer(document, index.partial or {}, index=index)
        return document | {"_id": f"{number:08d}"}

    def _answer(self, document: Document, *conditions: Mapping[str, Any], index: Index) -> None:
        """Makes the document one that meets the conditions."""
        for condition in conditions:
            for path, wanted in condition.items():
                if path == "$text":
                    document |= {key: _words(wanted["$search"]) for key, kind in index.keys if kind == "text"}
                elif path != "_id":
                    self._put(document, path, self._answering(wanted))

    def _put(self, document: Document, path: str, value: Any, above: str = "") -> None:
        """Sets a dotted path; what is declared a list holds the value and another one, or one subdocument."""
        head, _, rest = path.partition(".")
        whole = f"{above}{head}"
        if rest:
            inner = document.setdefault(head, [{}] if whole in self._lists else {})
            self._put(inner[0] if isinstance(inner, list) else inner, rest, value, f"{whole}.")
        elif whole in self._lists and not isinstance(value, list):
            document[head] = [value, self._stranger(value)]
        else:
            document[head] = value

    def _answering(self, wanted: Any) -> Any:
        if not isinstance(wanted, Mapping):
            return wanted
        operator, value = next(iter(wanted.items()))
        match operator:
            case "$eq" | "$gte" | "$lte":
                return value
            case "$in":
                return self._chance.choice(value)
            case "$gt":
                return self._beyond(value, 1)
            case "$lt":
                return self._beyond(value, -1)
            case "$nin":
                return None
            case "$exists":
                return EPOCH
            case "$elemMatch":
                return [{path: self._answering(each) for path, each in value.items()}]
        raise AssertionError(f"a probe uses {operator}, of which no sample can be made yet")

    def _beyond(self, value: Any, direction: int) -> Any:
        if isinstance(value, datetime):
            return value + direction * timedelta(seconds=1 + self._chance.random() * YEAR_SECONDS)
        if isinstance(value, str):
            return f"{value}{self._chance.randrange(VARIANTS)}"
        return value + direction * (1 + self._chance.randrange(1_000))

    def _stranger(self, example: Any) -> Any:
        """Another value of the same type; few of many are popular, as in real data."""
        match example:
            case bool():
                return example if self._chance.random() < PRESENT_SHARE else not example
            case datetime():
                return example + timedelta(seconds=(self._chance.random() * 2 - 1) * YEAR_SECONDS)
            case str():
                return f"{example[:8]}-{min(int(self._chance.paretovariate(0.7)), VARIANTS)}"
        return self._chance.randrange(10_000)


def _examples(indexes: Sequence[Index]) -> dict[str, Any]:
    """Every field the indexes look at, with a value of its type."""
    found: dict[str, Any] = {}
    for index in indexes:
        for condition in (index.probe.filter, index.partial or {}):
            for path, wanted in condition.items():
                found |= _values(path, wanted)
    for index in indexes:
        for path, kind in index.keys:
            if path not in found and path != "_id":
                found[path] = _guess(path, kind)
    return {path: value for path, value in found.items() if path not in {"_id", "$text"}}


def _values(path: str, wanted: Any) -> dict[str, Any]:
    if not isinstance(wanted, Mapping):
        return {path: wanted}
    operator, value = next(iter(wanted.items()))
    match operator:
        case "$elemMatch":
            return {
                name: each for inner, one in value.items() for name, each in _values(f"{path}.{inner}", one).items()
            }
        case "$in" | "$nin":
            return {path: value[0]}
        case "$exists":
            return {path: EPOCH}
    return {path: value}


def _guess(path: str, kind: Any) -> Any:
    """Of a field that is only sorted by."""
    if kind == "text":
        return "word"
    last = path.rpartition(".")[2]
    return EPOCH if last == "at" or last.endswith("At") else "x" if last.endswith(("Id", "sku", "path")) else 0


def _words(search: str) -> str:
    return f"one {search.strip(chr(34))} more"
