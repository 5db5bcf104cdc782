"""Ends what a dead process left open in MongoDB, by the application name it connected with.

A process killed inside a transaction keeps its documents locked until the server gives the transaction up. Whoever
notices the death calls this, and a hot SKU is writable again at once."""

import asyncio
import re
from typing import Any

# Several looks: the server may still be reading what the dead process had sent.
LOOKS_AFTER_SECONDS = (0.0, 0.1, 0.3, 1.0)
FOUND_MAX = 10_000

Client = Any  # Motor's or PyMongo's own


async def end_sessions(client: Client, app_name: str) -> int:
    """Ends what a process that has just died left open; `app_name` names it or the level above it (`app_name/...`).
    Returns how many sessions there were."""
    ended = 0
    for pause_seconds in LOOKS_AFTER_SECONDS:
        await asyncio.sleep(pause_seconds)
        ended += await end_sessions_seen(client, app_name)
    return ended


async def end_sessions_seen(client: Client, app_name: str) -> int:
    """One look, for a process that died long ago. All of ours are one user of MongoDB, and anybody may see and end
    sessions of their own: it takes no privilege."""
    if sessions := await _open_sessions(client, app_name):
        await client.admin.command("killSessions", [{"id": session} for session in sessions])
    return len(sessions)


async def _open_sessions(client: Client, app_name: str) -> list[Any]:
    pipeline: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": False, "idleSessions": True}},
        {"$match": {"appName": {"$regex": f"^{re.escape(app_name)}(/|$)"}, "lsid": {"$exists": True}}},
        {"$group": {"_id": "$lsid.id"}},
        {"$limit": FOUND_MAX},
    ]
    found = await client.admin.command({"aggregate": 1, "pipeline": pipeline, "cursor": {"batchSize": FOUND_MAX}})
    return [row["_id"] for row in found["cursor"]["firstBatch"]]
