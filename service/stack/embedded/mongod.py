"""mongod as a replica set of one member: transactions, change streams and majority writes as in production."""

from contextlib import suppress
from typing import Any

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure

from service.stack.embedded import binaries
from service.stack.embedded.ports import LOOPBACK
from service.stack.embedded.server import Server

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

Document = dict[str, Any]


class Mongod(Server):
    program = binaries.MONGOD
    name = "mongod"

    @property
    def url(self) -> str:
        # directConnection: no search for other members, so a client is connected after one round trip.
        options = f"replicaSet={REPLICA_SET}&directConnection=true&retryWrites=true&w=majority"
        return f"mongodb://{self._host}/?{options}"

    @property
    def _host(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def arguments(self) -> list[str]:
        parameters = {
            "transactionLifetimeLimitSeconds": TRANSACTION_LIFETIME_SECONDS,
            "diagnosticDataCollectionEnabled": "false",  # a thread and a growing folder that nobody reads here
        }
        options = {
            "dbpath": self.folder,
            "port": self.port,
            "bind_ip": LOOPBACK,
            "replSet": REPLICA_SET,
            "oplogSize": OPLOG_MIB,
            "wiredTigerCacheSizeGB": CACHE_GIB,
            "wiredTigerEngineConfigString": ENGINE,
        }
        return [
            *(f"--{name}={value}" for name, value in options.items()),
            *(word for name, value in parameters.items() for word in ("--setParameter", f"{name}={value}")),
            "--quiet",
            "--nounixsocket",
        ]

    def answers(self) -> bool:
        with suppress(ConnectionFailure, OperationFailure), self._connected() as client:  # still opening its files
            hello = client.admin.command("hello")
            if hello.get("isWritablePrimary") and hello.get("setName") == REPLICA_SET:
                return True
            self._join_own_set(client)
        return False

    def _join_own_set(self, client: MongoClient[Document]) -> None:
        """Initiates the set, or moves it to the port of today: its configuration holds the port of the last run."""
        config = client.local["system.replset"].find_one()
        if config is None:
            config = {"_id": REPLICA_SET, "members": [{"_id": 0, "host": self._host}]}
            client.admin.command("replSetInitiate", config)
        elif config["members"][0]["host"] != self._host:
            config["members"][0]["host"] = self._host
            client.admin.command("replSetReconfig", config, force=True)

    def _connected(self) -> MongoClient[Document]:
        return MongoClient(
            f"mongodb://{self._host}/?directConnection=true",
            serverSelectionTimeoutMS=SELECTION_TIMEOUT_MS,
            socketTimeoutMS=COMMAND_TIMEOUT_MS,
        )
