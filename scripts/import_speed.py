#!/usr/bin/env python3
"""How long a file of stock takes: `.venv/bin/python scripts/import_speed.py [ROWS]` (100,000) on a stack of its own.

Every row is another SKU's. Prints a JSON document: seconds of the dry run, of the import, of the same file once more
and of the export, what CPU the stack used meanwhile, and whether the audit still
holds. Exit 1 if a row was not done, 2 if the stack did not start."""

import json
import sys
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

import pymongo

from benchmarks.kit.cpu_time import used_seconds
from benchmarks.kit.outcome import RunInvalid
from benchmarks.kit.served_stack import Served, served

ROWS = 100_000
PATIENCE_SECONDS = 600
EMAIL, PASSWORD = "stock@example.org", "a long enough pass phrase 7"
EMPTY: dict[str, Any] = {
    "onHand": 0,
    "reserved": 0,
    "available": 0,
    "low": True,
    "seq": 0,
    "onSale": True,
    "lowStockThreshold": 5,
}


def measure(stack: Served, rows: int) -> dict[str, Any]:
    skus = [f"SKU-{number:06d}" for number in range(rows)]
    with pymongo.MongoClient[dict[str, Any]](stack.mongodb_uri) as client:
        stock: list[dict[str, Any]] = [{"_id": sku, "productId": sku, **EMPTY} for sku in skus]
        client[stack.database]["inventory"].insert_many(stock)
    stack.holdfast("admin", "create", EMAIL, "--password", PASSWORD)
    login = asked(stack, "POST", "/api/auth/login", json.dumps({"email": EMAIL, "password": PASSWORD}).encode())
    sender = {"Authorization": f"Bearer {json.loads(login)['accessToken']}"}
    file = "sku,kind,quantity\n" + "".join(f"{sku},receive,7\n" for sku in skus)
    keyed = {**sender, "Content-Type": "text/csv", "Idempotency-Key": "one-file"}
    steps = {
        "dryRun": ("POST", "/api/inventory/import?dryRun=1", file.encode(), keyed),
        "import": ("POST", "/api/inventory/import", file.encode(), keyed),
        "again": ("POST", "/api/inventory/import", file.encode(), keyed),
        "export": ("GET", "/api/inventory?format=csv", None, sender),
    }
    answers, seconds, cpu = {}, {}, {}
    for name, step in steps.items():
        began, used = time.monotonic(), used_seconds(stack.processes.values())
        answers[name] = asked(stack, *step)
        seconds[name] = round(time.monotonic() - began, 1)
        cpu[name] = round(used_seconds(stack.processes.values()) - used, 1)
    done = {name: json.loads(answers[name])["done"] for name in ("dryRun", "import", "again")}
    exported = answers["export"].count(b"\n") - 1
    ok = done == {"dryRun": rows, "import": rows, "again": 0} and exported == rows and stack.audit()["ok"]
    spent = {"seconds": seconds, "cpuSeconds": cpu}
    return {"rows": rows, "bytes": len(file), **spent, "done": done, "exported": exported, "ok": ok}


def asked(
    stack: Served, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    sent = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(stack.url + path, body, sent, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
        answer: bytes = response.read()
    return answer


def main() -> int:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    try:
        with served() as stack:
            measured = measure(stack, rows)
    except RunInvalid as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(measured) + "\n")
    return 0 if measured["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
