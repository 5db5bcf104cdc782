"""mongod as a replica set of one member: transactions, change streams and majority writes as in production."""

import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure

from service.stack.embedded import binaries
from service.stack.embedded.ports import LOOPBACK
from service.stack.embedded.server import Server
from service.stack.folder import write_private

REPLICA_SET = "holdfast"
CACHE_GIB = 1.0
OPLOG_MIB = 512
# A process killed inside a transaction keeps its documents locked this long at most; 60 by default.
TRANSACTION_LIFETIME_SECONDS = 3
# What was just written stays in memory until the checkpoint. By default a cache so small is written out once 50 MB are
# dirty, and again when they change: a quarter of the server's time while many holds expire at once.
ENGINE = "eviction_dirty_target=40,eviction_dirty_trigger=60,eviction_updates_target=40,eviction_updates_trigger=60"
SELECTION_TIMEOUT_MS = 200  # also what closing a client waits when mongod has just died
COMMAND_TIMEOUT_MS = 5_000
USER, MECHANISM = "holdfast", "SCRAM-SHA-256"
SCRAM_ITERATIONS = 5_000  # the fewest: the password is a random one, so that more would only slow each client's start
AUTHENTICATION_FAILED = 18

Document = dict[str, Any]


class Mongod(Server):
    program = binaries.MONGOD
    name = "mongod"

    @property
    def url(self) -> str:
        # directConnection: no search for other members, so a client is connected after one round trip.
        options = f"replicaSet={REPLICA_SET}&directConnection=true&retryWrites=true&w=majority&authSource=admin"
        return f"mongodb://{USER}:{self._password}@{self._host}/?{options}"

    @property
    def _host(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def arguments(self) -> list[str]:
        parameters = {
            "transactionLifetimeLimitSeconds": TRANSACTION_LIFETIME_SECONDS,
            "diagnosticDataCollectionEnabled": "false",  # a thread and a growing folder that nobody reads here
            "scramSHA256IterationCount": SCRAM_ITERATIONS,
        }
        options = {
            "dbpath": self.folder,
            "port": self.port,
            "bind_ip": LOOPBACK,
            "replSet": REPLICA_SET,
            "oplogSize": OPLOG_MIB,
            "wiredTigerCacheSizeGB": CACHE_GIB,
            "wiredTigerEngineConfigString": ENGINE,
            "keyFile": self._key_file(),  # members of a set with accounts prove themselves by it
            # This version reads memory of its own into answers to compressed messages (CVE-2025-14847).
            "networkMessageCompressors": "disabled",
        }
        return [
            *(f"--{name}={value}" for name, value in options.items()),
            *(word for name, value in parameters.items() for word in ("--setParameter", f"{name}={value}")),
            "--quiet",
            "--nounixsocket",
        ]

    def _key_file(self) -> Path:
        file = self.folder.parent / "mongod.key"
        if not file.exists():
            write_private(file, secrets.token_hex(48))
        return file

    def answers(self) -> bool:
        try:
            with self._connected(f"{USER}:{self._password}@") as client:
                if self._serves(client):
                    return True
                self._move_to_this_port(client)
        except OperationFailure as error:  # still opening its files, or a folder without an account yet
            if error.code == AUTHENTICATION_FAILED:
                self._begin()
        except ConnectionFailure:
            pass
        return False

    def _serves(self, client: MongoClient[Document]) -> bool:
        client.admin.command("ping")  # `hello` is answered to anybody
        hello = client.admin.command("hello")
        return bool(hello.get("isWritablePrimary") and hello.get("setName") == REPLICA_SET)

    def _begin(self) -> None:
        """One step of a new server: as long as it has no account, it obeys whoever is on this machine."""
        with suppress(ConnectionFailure, OperationFailure), self._connected() as client:
            hello = client.admin.command("hello")
            if hello.get("isWritablePrimary"):
                client.admin.command("createUser", USER, pwd=self._password, roles=["root"], mechanisms=[MECHANISM])
            elif not hello.get("setName"):
                members = [{"_id": 0, "host": self._host}]
                client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})

    def _move_to_this_port(self, client: MongoClient[Document]) -> None:
        """The configuration of the set holds the port of the last run."""
        config = client.local["system.replset"].find_one()
        if config is not None and config["members"][0]["host"] != self._host:
            config["members"][0]["host"] = self._host
            client.admin.command("replSetReconfig", config, force=True)

    def _connected(self, credentials: str = "") -> MongoClient[Document]:
        return MongoClient(
            f"mongodb://{credentials}{self._host}/?directConnection=true",
            serverSelectionTimeoutMS=SELECTION_TIMEOUT_MS,
            socketTimeoutMS=COMMAND_TIMEOUT_MS,
        )
