"""mongod as a replica set of one member: transactions, change streams and majority writes as in production."""

from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure

from service.infra.embedded import binaries
from service.infra.embedded.ports import LOOPBACK
from service.infra.embedded.server import Server

REPLICA_SET = "holdfast"
CACHE_GIB = 1.0
OPLOG_MIB = 512
# A process killed inside a transaction keeps its documents locked this long at most; 60 by default.
TRANSACTION_LIFETIME_SECONDS = 3
PROBE_TIMEOUT_MS = 2_000
SELECTION_TIMEOUT_MS = 200  # also what closing the probe's client waits when mongod has died
ALREADY_INITIALIZED = 23

Document = dict[str, Any]


class Mongod(Server):
    program = binaries.MONGOD
    name = "mongod"

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        self._client: MongoClient[Document] | None = None

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
        }
        return [
            *(f"--{name}={value}" for name, value in options.items()),
            *(word for name, value in parameters.items() for word in ("--setParameter", f"{name}={value}")),
            "--quiet",
            "--nounixsocket",
        ]

    def answers(self) -> bool:
        try:
            if self._is_primary():
                self._disconnect()
                return True
            self._join_own_set()
        except OperationFailure:  # still reading its configuration
            pass
        except ConnectionFailure:
            self._disconnect()
        return False

    def kill(self) -> None:
        self._disconnect()
        super().kill()

    def stop(self) -> None:
        self._disconnect()
        super().stop()

    def _is_primary(self) -> bool:
        hello = self._admin("hello")
        return bool(hello.get("isWritablePrimary")) and hello.get("setName") == REPLICA_SET

    def _join_own_set(self) -> None:
        """Initiates the set, or moves it to the port of today: its configuration holds the port of the last run."""
        config = self._connected().local["system.replset"].find_one()
        if config is None:
            self._initiate()
        elif config["members"][0]["host"] != self._host:
            config["members"][0]["host"] = self._host
            self._admin("replSetReconfig", config, force=True)

    def _initiate(self) -> None:
        try:
            self._admin("replSetInitiate", {"_id": REPLICA_SET, "members": [{"_id": 0, "host": self._host}]})
        except OperationFailure as error:
            if error.code != ALREADY_INITIALIZED:
                raise

    def _admin(self, command: str, value: Any = 1, **options: Any) -> Document:
        return self._connected().admin.command(command, value, **options)

    def _connected(self) -> MongoClient[Document]:
        if self._client is None:
            self._client = MongoClient(
                f"mongodb://{self._host}/?directConnection=true",
                serverSelectionTimeoutMS=SELECTION_TIMEOUT_MS,
                socketTimeoutMS=PROBE_TIMEOUT_MS,
            )
        return self._client

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
