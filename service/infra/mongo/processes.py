"""Which processes of ours there are: each has a record in MongoDB and renews it. One that has vanished inside a
transaction is noticed by any of the others, which ends its sessions, so that what it had locked is free again.

Times are the server's own: the clocks of the machines need not agree."""

import logging
import os
import re
import secrets
import socket
from collections.abc import Mapping
from typing import Any

from pymongo.errors import OperationFailure

from service.infra.mongo.client import UNREACHABLE
from service.infra.mongo.dead_sessions import end_sessions_seen

log = logging.getLogger(__name__)
BEAT_SECONDS = 2.0
VANISHED_AFTER_SECONDS = 8.0
APP_NAME_MAX = 128  # what MongoDB takes
LIFETIME = "transactionLifetimeLimitSeconds"
LIFETIME_WANTED_SECONDS = 3


def unique_name(app_name: str) -> str:
    """`app_name` and what tells this process from every other one."""
    host = re.sub(r"[^\w.-]", "", socket.gethostname())[:32]
    mark = f"/{host}-{os.getpid()}-{secrets.token_hex(4)}"
    return app_name[: APP_NAME_MAX - len(mark)] + mark


def machine() -> str:
    """Where process numbers mean something: the host, and on it the container."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()} {namespace}"


class Processes:
    """The record of this process, and the look at those of others. `name` is what it connects to MongoDB with."""

    def __init__(self, client: Any, database: Any, name: str) -> None:
        self._client, self._processes, self._name = client, database["processes"], name

    async def beat(self) -> float:
        """Renews the record and looks after those that do not. Returns the seconds until the next time."""
        fields = {"seenAt": "$$NOW", "machine": {"$literal": machine()}, "pid": os.getpid()}
        await self._processes.update_one({"_id": self._name}, [{"$set": fields}], upsert=True)
        for record in await self._vanished():
            await self._bury(record)
        return BEAT_SECONDS

    async def leave(self) -> None:
        """Has ended in order: whatever it had begun is committed or aborted."""
        try:
            await self._processes.delete_one({"_id": self._name})
        except UNREACHABLE as error:
            log.warning("the record of this process stays: %s", error)

    async def _vanished(self) -> list[Mapping[str, Any]]:
        """Those of this machine are asked for, those of others are given up after a while."""
        late = {"$lt": ["$seenAt", {"$subtract": ["$$NOW", int(VANISHED_AFTER_SECONDS * 1_000)]}]}
        others = self._processes.find({"_id": {"$ne": self._name}}, {"late": late, "machine": 1, "pid": 1})
        here = machine()
        return [
            each
            for each in await others.to_list(None)
            if each["late"] or (each.get("machine") == here and not _runs(each["pid"]))
        ]

    async def _bury(self, record: Mapping[str, Any]) -> None:
        """Its record stays until its sessions have ended."""
        name = record["_id"]
        try:
            ended = await end_sessions_seen(self._client, name)
        except OperationFailure as error:
            log.warning("the sessions of %s, which has vanished, could not be ended: %s", name, error)
            return
        log.warning("%s has vanished; %d sessions of it were ended", name, ended)
        await self._processes.delete_one({"_id": name})

    async def look_at_lifetime(self) -> None:
        """Says what a vanished process may keep locked, where nobody has set it lower."""
        try:
            seconds = (await self._client.admin.command("getParameter", 1, **{LIFETIME: 1}))[LIFETIME]
        except OperationFailure as error:
            log.info("%s of MongoDB could not be read: %s", LIFETIME, error)
            return
        if seconds > LIFETIME_WANTED_SECONDS:
            log.warning(
                "MongoDB keeps what a killed process had locked for up to %s s (%s). Another process of ours ends it "
                "after %s s; while none runs, that SKU cannot be sold. Set it to %s.",
                seconds,
                LIFETIME,
                VANISHED_AFTER_SECONDS,
                LIFETIME_WANTED_SECONDS,
            )


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
