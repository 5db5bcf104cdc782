"""NoSQL injection: MongoDB's operators × the places a client can write to × the ways to write them, and the strings
that public lists of payloads are made of."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

OPERATORS = [
    "$gt", "$gte", "$lt", "$lte", "$ne", "$eq", "$in", "$nin", "$exists", "$type", "$regex", "$options", "$where",
    "$expr", "$jsonSchema", "$mod", "$text", "$all", "$elemMatch", "$size", "$not", "$nor", "$or", "$and", "$comment",
    "$rand", "$function", "$accumulator", "$lookup", "$out", "$merge", "$set", "$unset", "$inc", "$push", "$rename",
    "$setOnInsert", "$currentDate", "$bit", "$slice", "$ref", "$id", "$db", "$oid", "$date", "$numberLong", "$code",
    "$binary", "$minKey", "$maxKey", "$timestamp", "$symbol", "$dbPointer", "$undefined", "$uuid",
]  # fmt: skip
OPERANDS: list[Any] = ["", None, 0, 1, True, [], [""], {}, ".*", "^a", "1==1", "sleep(5000)", {"$gt": ""}]
STRINGS = [
    "true, $where: '1 == 1'", ", $where: '1 == 1'", "$where: '1 == 1'", "', $where: '1 == 1", "1, $where: '1 == 1'",
    "{ $ne: 1 }", "', $or: [ {}, { 'a':'a", "' } ], $comment:'successful MongoDB injection'", "' || '1'=='1",
    "db.injection.insert({success:1});", "db.injection.insert({success:1});return 1;db.stores.mapReduce(function(){",
    "|| 1==1", "|| 1==1//", "|| 1==1%00", "'||'a'=='a", "' && this.password.match(/.*/)//+%00",
    "'%20%26%26%20this.passwordzz.match(/.*/)//+%00", "{$gt: ''}", "[$ne]=1", '{"$gt":""}', '{"$ne": null}',
    '{"$regex": ".*"}', '{"$where": "sleep(5000)"}', "';sleep(5000);", "';it=new%20Date();do{pt=new%20Date();}while",
    "a' || true || 'a'=='b", "\\' || 1==1 || \\'", "1' or '1'='1", "admin'--", "${7*7}", "{{7*7}}", "<script>", "%00",
    "$ne", "$gt", "this.a", "__proto__", "constructor.prototype",
]  # fmt: skip


@dataclass(frozen=True)
class Attack:
    """`text` attacks carry no operator in a key: only that they have no effect can be asked of their answer."""

    method: str
    path: str
    body: bytes | None
    what: str
    text: bool = False


def attacks(
    method: str, path: str, parameters: list[str], example: dict[str, Any] | None, source: random.Random
) -> Iterator[Attack]:
    """Everything for one route: `path` has `<name>` parts, `example` is a body it takes, or None."""
    yield from _in_path(method, path, source)
    target = _filled(path)
    if example is not None:
        for name in [*example, "filter", "_id"]:
            yield from _in_body(method, target, name, example, source)
        return
    for name in [*parameters, "filter"]:
        yield from _in_query(method, target, name, source)


def _filled(path: str, value: str = "no-such-thing") -> str:
    parts = [value if part.startswith("<") else part for part in path.split("/")]
    return "/".join(parts)


def _in_path(method: str, path: str, source: random.Random) -> Iterator[Attack]:
    if "<" not in path:
        return
    body = b"{}" if method in {"POST", "PUT", "PATCH"} else None
    for operator in source.sample(OPERATORS, 12):
        document = json.dumps({operator: source.choice(OPERANDS)})
        for written in (quote(document, safe=""), quote(operator, safe="$"), quote(quote(document, safe=""), safe="")):
            yield Attack(method, _filled(path, written), body, f"path {operator}", text=True)
    for text in source.sample(STRINGS, 8):
        yield Attack(method, _filled(path, quote(text, safe="")), body, f"path {text}", text=True)


def _in_query(method: str, target: str, name: str, source: random.Random) -> Iterator[Attack]:
    for operator in source.sample(OPERATORS, 10):
        value = quote(str(source.choice(OPERANDS)), safe="")
        written = source.choice(
            [f"{name}[{operator}]={value}", f"{name}.{operator}={value}", f"{name}%5B{quote(operator)}%5D={value}",
             f"{quote(operator)}={value}", f"{name}[]={value}&{name}[{operator}]={value}"]
        )  # fmt: skip
        yield Attack(method, f"{target}?{written}", None, f"query {written}")


def _in_body(method: str, target: str, name: str, example: dict[str, Any], source: random.Random) -> Iterator[Attack]:
    for operator in source.sample(OPERATORS, 14):
        operand = source.choice(OPERANDS)
        value: Any = source.choice(
            [{operator: operand}, [{operator: operand}], {"a": {operator: operand}}, {f"a.{operator}": operand}]
        )
        document = json.dumps({**example, name: value})
        if source.random() < 0.3:  # the same, written so that a search for "$" misses it
            document = document.replace("$", "\\u0024").replace("a.", "a\\u002e")
        yield Attack(method, target, document.encode(), f"body {name} {operator}")
    for key in (f"{name}.x", f"{name}.$", f"${name}", f"{name}\\u0000"):
        raw = json.dumps(example)[:-1] + (", " if example else "") + f'"{key}": 1}}'
        yield Attack(method, target, raw.encode(), f"key {key}")
