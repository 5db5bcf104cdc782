"""Owns what the servers say of themselves around a run: MongoDB's counters and index use, the service's own metrics,
and the audit of the books. What cannot be had is recorded as unavailable with its reason, never left out."""

import json
import subprocess
import time
import urllib.request
from typing import Any

from workloads.client.running_stack import Stack, holdfast_command

SERVER_SECONDS_MAX = 5.0
AUDIT_SECONDS_MAX = 900.0
METRICS_BYTES_MAX = 4 << 20


def snapshot(stack: Stack) -> dict[str, Any]:
    """`{"takenAtEpochSeconds", "mongodb", "indexes", "metrics", "clientRetries"}`."""
    metrics = _metrics(stack.url)
    return {
        "takenAtEpochSeconds": time.time(),
        **_mongodb(stack),
        "metrics": metrics,
        "clientRetries": client_retries(metrics),
    }


def server_document(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Both snapshots and what changed between them; a store that restarted in between counts from zero again."""
    restarted = after.get("mongodb", {}).get("uptimeSeconds", 0) < before.get("mongodb", {}).get("uptimeSeconds", 0)
    change = difference(before, after)
    return {
        "before": before,
        "after": after,
        "change": change,
        "mongodbRestarted": restarted,
        "writeConflicts": change.get("mongodb", {}).get("writeConflicts"),
        "clientRetries": change.get("clientRetries"),
    }


def audit(stack: Stack) -> dict[str, Any]:
    """The books as `holdfast audit --json` finds them. `{"ok": None, "unavailable": reason}` where it cannot look."""
    if not stack.mongodb_uri:
        return {"ok": None, "unavailable": "no MONGODB_URI: the audit cannot reach the store", "checks": []}
    try:
        done = subprocess.run(
            holdfast_command("audit", "--json"),
            env=stack.environment(),
            capture_output=True,
            text=True,
            timeout=AUDIT_SECONDS_MAX,
            check=False,
        )
        document = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError) as error:
        return {"ok": None, "unavailable": str(error), "checks": []}
    except ValueError:
        return {"ok": None, "unavailable": f"holdfast audit said: {done.stderr.strip()[-500:]}", "checks": []}
    assert isinstance(document, dict), "the audit is one JSON object"
    return document


def client_retries(metrics: dict[str, Any]) -> float | None:
    """How often the service had to try a commit again: every metric of its own that counts retries."""
    counted = [value for name, value in metrics.items() if "retries" in name and isinstance(value, float)]
    return sum(counted) if counted else None


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Numbers of `after` less those of `before`, through nested objects."""
    change: dict[str, Any] = {}
    for name, value in after.items():
        earlier = before.get(name)
        if isinstance(value, dict):
            change[name] = difference(earlier if isinstance(earlier, dict) else {}, value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            change[name] = value - (earlier if isinstance(earlier, int | float) else 0)
    return change


def parse_metrics(text: str) -> dict[str, float]:
    """Samples of Prometheus text, each under its name with its labels; histogram buckets are left out."""
    samples = {}
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if name and not line.startswith("#") and "_bucket{" not in name and not name.endswith("_created"):
            samples[name] = float(value)
    return samples


def _metrics(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=SERVER_SECONDS_MAX) as answer:
            return parse_metrics(answer.read(METRICS_BYTES_MAX).decode())
    except (OSError, ValueError) as error:
        return {"unavailable": str(error)}


def _mongodb(stack: Stack) -> dict[str, Any]:
    if not stack.mongodb_uri:
        reason = {"unavailable": "no MONGODB_URI"}
        return {"mongodb": reason, "indexes": reason}
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    client: MongoClient[dict[str, Any]] = MongoClient(
        stack.mongodb_uri, serverSelectionTimeoutMS=int(SERVER_SECONDS_MAX * 1000)
    )
    try:
        database = client.get_default_database(stack.database)
        return {"mongodb": _counters(client.admin.command("serverStatus")), "indexes": _index_use(database)}
    except PyMongoError as error:
        reason = {"unavailable": str(error)[:500]}
        return {"mongodb": reason, "indexes": reason}
    finally:
        client.close()


def _counters(status: dict[str, Any]) -> dict[str, Any]:
    metrics, transactions = status.get("metrics", {}), status.get("transactions", {})
    return {
        "version": status["version"],
        "uptimeSeconds": int(status["uptime"]),
        "writeConflicts": int(metrics["operation"]["writeConflicts"]),
        "keysExamined": int(metrics["queryExecutor"]["scanned"]),
        "documentsExamined": int(metrics["queryExecutor"]["scannedObjects"]),
        "documentsReturned": int(metrics["document"]["returned"]),
        "transactionsCommitted": int(transactions.get("totalCommitted", 0)),
        "transactionsAborted": int(transactions.get("totalAborted", 0)),
        "operations": {name: int(count) for name, count in status["opcounters"].items() if isinstance(count, int)},
    }


def _index_use(database: Any) -> dict[str, dict[str, int]]:
    """How often each index was used since the server started, per collection."""
    return {
        name: {
            index["name"]: int(index["accesses"]["ops"]) for index in database[name].aggregate([{"$indexStats": {}}])
        }
        for name in sorted(database.list_collection_names(filter={"type": "collection"}))
        if not name.startswith("system.")
    }
