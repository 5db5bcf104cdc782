"""redis-server with an append-only file, so that sessions and queued jobs are there again after a restart."""

import socket

from service.stack.embedded import binaries
from service.stack.embedded.ports import LOOPBACK
from service.stack.embedded.server import Server

MEMORY_MIB = 512
PROBE_TIMEOUT_SECONDS = 0.5


class RedisServer(Server):
    program = binaries.REDIS_SERVER
    name = "redis"

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def arguments(self) -> list[str]:
        options = {
            "port": self.port,
            "bind": LOOPBACK,
            "dir": self.folder,
            "appendonly": "yes",
            "save": "",
            "maxmemory": f"{MEMORY_MIB}mb",
            "maxmemory-policy": "noeviction",  # a queue must refuse, never forget
        }
        return [word for name, value in options.items() for word in (f"--{name}", str(value))]

    def answers(self) -> bool:
        """It also listens while it loads its file, and says so to a PING."""
        try:
            with socket.create_connection((LOOPBACK, self.port), PROBE_TIMEOUT_SECONDS) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False
