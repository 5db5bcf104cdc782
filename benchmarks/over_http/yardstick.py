"""What this machine takes for the least that a durable store can do, measured in the same seconds: one small document,
written and acknowledged by the majority with its journal on disk, through the plain driver."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient, WriteConcern
from pymongo.collection import Collection

from benchmarks.kit.closed_loop import Tally
from benchmarks.kit.served_stack import Served

COLLECTION = "yardstick"
Bare = Collection[dict[str, Any]]


@contextmanager
def bare_writes(stack: Served) -> Iterator[Bare]:
    with MongoClient[dict[str, Any]](stack.mongodb_uri) as client:
        collection = client[stack.database].get_collection(COLLECTION, write_concern=WriteConcern("majority"))
        collection.insert_one({})  # connects, and makes the collection
        try:
            yield collection
        finally:
            collection.drop()


def write_alone(collection: Bare, tally: Tally, count: int) -> None:
    """One after the other; nothing else runs meanwhile."""
    began = time.perf_counter()
    for _ in range(count):
        started = time.perf_counter()
        collection.insert_one({})
        tally.latencies_ms.append((time.perf_counter() - started) * 1_000)
    tally.wall_seconds += time.perf_counter() - began
