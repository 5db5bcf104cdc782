"""Free loopback ports, kept across restarts: a replica set's configuration and our own clients hold them."""

import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
# Below Linux's ephemeral range: in it, a client that retries while its server is down can be given the server's own
# port as its source, connects to itself and so keeps the server from coming back.
PORTS = range(20_000, 32_768)
TRIES = 100


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def is_listening(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=0.2).close()
    except OSError:
        return False
    return True


def kept(file: Path) -> int:
    """The port noted in `file` if it is free, else a new one, noted there."""
    if (port := _noted(file)) and is_free(port):
        return port
    port = _free()
    file.write_text(f"{port}\n")
    return port


def _noted(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (FileNotFoundError, ValueError):  # ValueError: cut short by a crash
        return None


def _free() -> int:
    for _ in range(TRIES):
        if is_free(port := random.choice(PORTS)):
            return port
    raise OSError(f"no free port found on {LOOPBACK} in {PORTS.start}-{PORTS.stop - 1}")
