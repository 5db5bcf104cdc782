"""What is wrong with a value that does not fit its schema: every fault at once, a sentence each, with the path of its
field. msgspec stops at the first fault and speaks to programmers, so this looks again, only once a value was refused.

A type says its own sentence for a pattern with `Meta(extra={"sentence": "Enter …"})`."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from itertools import islice
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import inspect

from service.errors import Invalid

FAULTS_MAX = 50
NAME_MAX = 100  # characters of a name that a client made up
Fault = tuple[str, str]  # path, sentence
SENTENCES: Mapping[type[inspect.Type], str] = {
    inspect.BoolType: "Must be true or false",
    inspect.DateTimeType: "Must be a date and time with its zone, like 2026-01-31T12:00:00Z",
    inspect.DateType: "Must be a date, like 2026-01-31",
    inspect.UUIDType: "Must be a UUID",
    inspect.NoneType: "Must be null",
}


def refusal(given: Any, takes: Any, *, strict: bool) -> Invalid:
    """Why `given` is not a `takes`."""
    found = [{"path": path, "message": said} for path, said in islice(_Faults(strict).of(given, takes, ""), FAULTS_MAX)]
    assert found, "what fits is not refused"
    first, more = found[0], len(found) - 1
    sentence = f"{first['path']}: {first['message']}" if first["path"] else first["message"]
    return Invalid(sentence + (f" (and {more} more)" if more else ""), errors=found)


class _Faults:
    """`strict`: a number is no text, as in JSON and unlike a query string."""

    def __init__(self, strict: bool) -> None:
        self._strict = strict

    def of(self, given: Any, kind: Any, path: str) -> Iterator[Fault]:
        said = self._misfit(given, kind)
        if said is None:
            return
        inner = get_args(kind)[0] if get_origin(kind) is Annotated else kind
        if get_origin(inner) in {Union, UnionType}:
            faults = self._of_union(given, inner, path)
        elif isinstance(inner, type) and issubclass(inner, msgspec.Struct) and isinstance(given, dict):
            faults = self._of_object(given, inner, path)
        elif get_origin(inner) is list and isinstance(given, list):
            faults = self._of_list(given, kind, get_args(inner)[0], path)
        else:
            faults = iter([(path, _sentence(given, inspect.type_info(kind), self._strict))])
        first = next(faults, None)
        if first is None:  # what the parts allow and the whole does not
            message, _, below = said.partition(" - at `$")
            first = (path + below.rstrip("`")).lstrip("."), message
        yield first
        yield from faults

    def _misfit(self, given: Any, kind: Any) -> str | None:
        try:
            msgspec.convert(given, kind, strict=self._strict)
        except msgspec.ValidationError as error:
            return str(error)
        return None

    def _of_union(self, given: Any, kind: Any, path: str) -> Iterator[Fault]:
        options = [one for one in get_args(kind) if one not in {NoneType, msgspec.UnsetType}]
        alike = [one for one in options if isinstance(given, _shape(inspect.type_info(one)))]
        if alike or len(options) == 1:
            yield from self.of(given, (alike or options)[0], path)
        else:
            yield path, "Must be " + " or ".join(_what(inspect.type_info(one)) for one in options)

    def _of_object(self, given: dict[str, Any], kind: Any, path: str) -> Iterator[Fault]:
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        for name, field in fields.items():
            if name in given:
                yield from self.of(given[name], field.type, _below(path, name))
            elif field.required:
                yield _below(path, name), "Is required"
        for name in given:
            if kind.__struct_config__.forbid_unknown_fields and name not in fields:
                yield _below(path, name), _unknown(name, fields)

    def _of_list(self, given: list[Any], kind: Any, item: Any, path: str) -> Iterator[Fault]:
        if (said := _length(len(given), _bare(inspect.type_info(kind)), "entry", "entries")) is not None:
            yield path, said
            return
        for place, one in enumerate(given):
            yield from self.of(one, item, f"{path}[{place}]")


def _below(path: str, name: str) -> str:
    return f"{path}.{name[:NAME_MAX]}" if path else name[:NAME_MAX]


def _sentence(given: Any, info: inspect.Type, strict: bool) -> str:
    kind = _bare(info)
    if given is None:
        return f"Must be {_what(kind)}, not null"
    match kind:
        case inspect.StrType():
            return _of_text(given, kind, info)
        case inspect.IntType():
            return _of_number(given if strict else _number(given), kind, "a whole number", int)
        case inspect.FloatType():
            return _of_number(given if strict else _number(given), kind, "a number", int | float)
        case inspect.EnumType():
            return "Must be one of " + ", ".join(str(one.value) for one in kind.cls)
        case inspect.LiteralType():
            return "Must be one of " + ", ".join(str(one) for one in kind.values)
    return SENTENCES.get(type(kind), f"Must be {_what(kind)}")


def _of_text(given: Any, kind: inspect.StrType, info: inspect.Type) -> str:
    if not isinstance(given, str):
        return "Must be text"
    if (said := _length(len(given), kind, "character", "characters")) is not None:
        return said
    about = info if isinstance(info, inspect.Metadata) else inspect.Metadata(kind)
    own = (about.extra or {}).get("sentence")
    if own is not None:
        return str(own)
    examples = (about.extra_json_schema or {}).get("examples") or []
    if not given.strip():
        return "Must not be empty"
    if examples and "@" in str(examples[0]):
        return f"Enter an e-mail address like {examples[0]}"
    return f"Must be written like {examples[0]}" if examples else "Is not of the form that is asked for here"


def _of_number(given: Any, kind: Any, what: str, shape: Any) -> str:
    if isinstance(given, bool) or not isinstance(given, shape):
        return f"Must be {what}"
    least = kind.ge if kind.ge is not None else kind.gt
    most = kind.le if kind.le is not None else kind.lt
    if least is not None and most is not None:
        return f"Must be from {least} to {most}"
    if least is not None:
        return f"Must be {'at least' if kind.ge is not None else 'above'} {least}"
    return f"Must be {'at most' if kind.le is not None else 'below'} {most}" if most is not None else f"Must be {what}"


def _number(given: Any) -> Any:
    """As a query string writes it."""
    for shape in (int, float):
        with suppress(ValueError, TypeError):
            return shape(given)
    return given


def _length(length: int, kind: Any, one: str, many: str) -> str | None:
    least, most = kind.min_length, kind.max_length
    if least is not None and length < least:
        return "Must not be empty" if length == 0 else f"Must have at least {least} {one if least == 1 else many}"
    if most is not None and length > most:
        return f"Must have at most {most} {one if most == 1 else many}, not {length}"
    return None


def _unknown(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), 1)
    return "Is not known here" + (f"; did you mean {close[0]}?" if close else "")


def _bare(info: inspect.Type) -> Any:
    return _bare(info.type) if isinstance(info, inspect.Metadata) else info


def _shape(info: inspect.Type) -> Any:
    """The type that JSON gives such a value."""
    match _bare(info):
        case inspect.StructType() | inspect.DictType():
            return dict
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType():
            return list
        case inspect.BoolType():
            return bool
        case inspect.IntType() | inspect.FloatType():
            return int | float
    return str


def _what(kind: inspect.Type) -> str:
    words = {dict: "an object", list: "a list", bool: "true or false", str: "text"}
    return words.get(_shape(kind), "a number")
