"""Every command that the processes of a running stack send to MongoDB, kept by the server's own profiler."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from recorded_commands import PLANNED, without_session

DATABASE = "holdfast"
RECORD_BYTES = 512 << 20
OF_THE_SERVICE = r"^holdfast[^/]*/(api|worker|scheduler)"
NOT_PLANNED = {"insert", "getmore"}

Client = MongoClient[dict[str, Any]]


def address(data: Path) -> str:
    """Where the stack's MongoDB is, with the account that its folder holds."""
    uri: str = json.loads((data / "stack.json").read_text())["mongodbUri"]
    return uri


def connect(data: Path) -> Client:
    return MongoClient(address(data), tz_aware=True)


def record(data: Path) -> None:
    """From now on. The record is larger than what the tests write, so that nothing is overwritten."""
    with connect(data) as client:
        client[DATABASE].create_collection("system.profile", capped=True, size=RECORD_BYTES)
        client[DATABASE].command("profile", 2)


def commands(client: Client) -> Iterator[dict[str, Any]]:
    """What the API, the workers and the scheduler sent so far, each as a command that can be explained."""
    query = {"appName": {"$regex": OF_THE_SERVICE}, "op": {"$nin": sorted(NOT_PLANNED)}, "ns": {"$ne": ""}}
    for seen in client[DATABASE]["system.profile"].find(query, {"op": 1, "ns": 1, "command": 1}):
        if command := _explainable(seen["op"], seen["ns"].partition(".")[2], seen.get("command", {})):
            yield command


def _explainable(operation: str, collection: str, command: Mapping[str, Any]) -> dict[str, Any] | None:
    plain = without_session(command)
    if operation == "update":
        return {"update": collection, "updates": [plain]}
    if operation == "remove":
        return {"delete": collection, "deletes": [plain]}
    return plain if next(iter(plain), None) in PLANNED else None
