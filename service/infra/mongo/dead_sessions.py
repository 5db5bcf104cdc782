"""Ends what a dead process left open in MongoDB, by the application name it connected with.

A process killed inside a transaction keeps its documents locked until the server gives the transaction up. Whoever
notices the death calls this, and a hot SKU is writable again at once."""

import asyncio
import re
from typing import Any

from pymongo import AsyncMongoClient

# Several looks: the server may still be reading what the dead process had sent.
LOOKS_AFTER_SECONDS = (0.0, 0.1, 0.3, 1.0)

Client = AsyncMongoClient[dict[str, Any]]


async def end_sessions(client: Client, app_name: str) -> int:
    """Ends what a process that has just died left open; `app_name` names it or the level above it (`app_name/...`).
    Returns how many sessions there were."""
    ended = 0
    for pause_seconds in LOOKS_AFTER_SECONDS:
        await asyncio.sleep(pause_seconds)
        ended += await end_sessions_seen(client, app_name)
    return ended


async def end_sessions_seen(client: Client, app_name: str) -> int:
    """One look, for a process that died long ago."""
    if sessions := await _open_sessions(client, app_name):
        await client.admin.command("killAllSessionsByPattern", [{"lsid": session} for session in sessions])
    return len(sessions)


async def _open_sessions(client: Client, app_name: str) -> list[dict[str, Any]]:
    pipeline: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": True, "idleSessions": True}},
        {"$match": {"appName": {"$regex": f"^{re.escape(app_name)}(/|$)"}, "lsid": {"$exists": True}}},
        {"$group": {"_id": {"id": "$lsid.id", "uid": "$lsid.uid"}}},
    ]
    cursor = await client.admin.aggregate(pipeline)
    return [row["_id"] async for row in cursor]
