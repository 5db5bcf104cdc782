"""Every command a client sends, one example of each shape, and the server's own plan for it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

PLANNED = {"find", "aggregate", "update", "delete", "findAndModify", "count", "distinct"}
OF_THE_SESSION = {"lsid", "txnNumber", "autocommit", "startTransaction", "readConcern", "writeConcern", "maxTimeMS"}
OF_THE_SESSION |= {"txnRetryCounter", "coordinator"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What the server did, or would do, for one command."""

    stages: tuple[str, ...]
    indexes: tuple[str, ...]
    docs_examined: int
    returned: int

    @property
    def scans(self) -> bool:
        return "COLLSCAN" in self.stages

    @property
    def sorts(self) -> bool:
        return "SORT" in self.stages


class Recorder(CommandListener):
    """Keeps the first command of each shape that has a plan."""

    def __init__(self) -> None:
        self.commands: dict[str, dict[str, Any]] = {}

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in PLANNED and event.database_name not in {"admin", "config", "local"}:
            for command in _statements(event.command_name, dict(event.command)):
                self.commands.setdefault(shape_of(command), command)

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


def shape_of(command: Mapping[str, Any]) -> str:
    """The same for commands that differ in values alone."""
    return str(_shape(command))


def without_session(command: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in command.items() if key not in OF_THE_SESSION and not key.startswith("$")}


def _statements(name: str, command: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The command without what belongs to its session; one for each update or delete of a batch."""
    plain = without_session(command)
    batch = {"update": "updates", "delete": "deletes"}.get(name)
    if batch is None:
        yield plain
        return
    for statement in plain[batch]:
        yield plain | {batch: [statement]}


def _shape(value: Any) -> Any:
    """Field and operator names stay, values go. A list of conditions keeps the shape of each; one of values none."""
    if isinstance(value, Mapping):
        return {key: each if key in PLANNED and isinstance(each, str) else _shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return sorted({str(_shape(each)) for each in value})
    return "?"


def explain(client: MongoClient[dict[str, Any]], database: str, command: Mapping[str, Any]) -> Plan:
    """Updates and deletes are planned and counted, not carried out."""
    explained = client[database].command("explain", dict(command), verbosity="executionStats")
    found = list(_walk(explained))
    stats = [each["executionStats"] for each in found if isinstance(each.get("executionStats"), Mapping)]
    plans = [each["winningPlan"] for each in found if "winningPlan" in each]
    stages = [each for plan in plans for each in _walk(plan) if "stage" in each]
    return Plan(
        tuple(each["stage"] for each in stages),
        tuple(each["indexName"] for each in stages if "indexName" in each),
        sum(each["totalDocsExamined"] for each in stats),
        sum(each["nReturned"] for each in stats),
    )


def _walk(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        for each in value.values():
            yield from _walk(each)
    elif isinstance(value, list):
        for each in value:
            yield from _walk(each)
