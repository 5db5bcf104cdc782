"""redis-server with an append-only file, so that sessions and queued jobs are there again after a restart."""

import socket

from service.stack.embedded import binaries
from service.stack.embedded.ports import LOOPBACK
from service.stack.embedded.server import Server
from service.stack.folder import write_private

MEMORY_MIB = 512
PROBE_TIMEOUT_SECONDS = 0.5


class RedisServer(Server):
    program = binaries.REDIS_SERVER
    name = "redis"

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    def arguments(self) -> list[str]:
        """The password is in a file, because everybody on the machine can read a command line."""
        settings = self.folder / "redis.conf"
        write_private(settings, f"requirepass {self._password}\n")
        options = {
            "port": self.port,
            "bind": LOOPBACK,
            "dir": self.folder,
            "appendonly": "yes",
            "save": "",
            "maxmemory": f"{MEMORY_MIB}mb",
            "maxmemory-policy": "noeviction",  # a queue must refuse, never forget
        }
        return [str(settings), *(word for name, value in options.items() for word in (f"--{name}", str(value)))]

    def answers(self) -> bool:
        """It also listens while it loads its file, and says so to a PING."""
        try:
            with socket.create_connection((LOOPBACK, self.port), PROBE_TIMEOUT_SECONDS) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (part := connection.recv(64)):
                    answer += part
                return answer.startswith(b"+OK\r\n+PONG")
        except OSError:
            return False
