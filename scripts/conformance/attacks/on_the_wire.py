"""Attacks below the routes: framing, bodies, streams, the stores' own ports."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from shop import NotTried, Shop, counted

STREAMS, STREAMS_OF_ONE_CLIENT_MAX = 110, 100
ALMOST_A_MEBIBYTE = 1_048_575


@contextmanager
def opened(shop: Shop, address: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.create_connection((shop.host, shop.port), timeout=5, source_address=(address, 0)) as connection:
        yield connection


def received(connection: socket.socket) -> bytes:
    found = b""
    try:
        while part := connection.recv(65_536):
            found += part
    except OSError:
        pass
    return found


def hold_every_stream(shop: Shop) -> str:
    """H5: one client opens 110 streams: no more than 100 live, and health is answered all the while."""
    sku, address, lines = shop.sell(1), shop.address(), []
    request = f"GET /api/inventory/stream?sku={sku} HTTP/1.1\r\nHost: {shop.host}\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in counted(STREAMS):
            connection = stack.enter_context(opened(shop, address))
            connection.sendall(request)
            lines.append(connection.recv(12))
        health = shop.call("GET", "/health/live").status
    alive = sum(line.endswith(b" 200") for line in lines)
    if health != 200:
        return f"health got {health}"
    return "" if 0 < alive <= STREAMS_OF_ONE_CLIENT_MAX else f"{alive} streams of one client live"


def smuggle(shop: Shop) -> str:
    """M6: neither a chunk extension nor bytes after a chunk make a second request of a body."""
    head = f"POST /api/auth/login HTTP/1.1\r\nHost: {shop.host}\r\nContent-Type: application/json\r\n"
    inner = f"GET /health/live HTTP/1.1\r\nHost: {shop.host}\r\n\r\n"
    for body in (f"2;\nxx\r\n{{}}\r\n0\r\n\r\n{inner}", f"2\r\n{{}}XX0\r\n\r\n{inner}", f"2\n{{}}\n0\n\n{inner}"):
        with opened(shop) as connection:
            connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n{body}".encode())
            connection.shutdown(socket.SHUT_WR)
            answer = received(connection)
        if answer.count(b"HTTP/1.1 ") > 1 or b" 200 " in answer[:20]:
            return f"after {body[:12]!r}: {answer[:60]!r}"
    return ""


def fill_the_memory(shop: Shop) -> str:
    """M7: twenty bodies of almost a mebibyte for a login are refused by their heads."""
    head = f"POST /api/auth/login HTTP/1.1\r\nHost: {shop.host}\r\nContent-Type: application/json\r\n"
    with ExitStack() as stack:
        for _ in counted(20):
            connection = stack.enter_context(opened(shop))
            connection.sendall(f"{head}Content-Length: {ALMOST_A_MEBIBYTE}\r\n\r\n".encode() + b" " * 5_000)
            answer = received(connection)
            if b" 413 " not in answer[:20] and b" 429 " not in answer[:20]:
                return f"answered {answer[:40]!r}"
    return ""


def enter_the_stores(shop: Shop) -> str:
    """M2: another user of the machine gets nothing from Redis and nothing from MongoDB."""
    if shop.data is None:
        raise NotTried("--data says where the stack keeps its stores")
    noted = json.loads((Path(shop.data) / "stack.json").read_text())
    redis, mongodb = urlsplit(noted["redisUrl"]), urlsplit(noted["mongodbUri"])
    with socket.create_connection((redis.hostname or "", redis.port or 6379), timeout=5) as connection:
        connection.sendall(b"HGETALL session:any\r\n")
        answer = connection.recv(100)
    if not answer.startswith(b"-NOAUTH"):
        return f"Redis answered {answer!r}"
    return _databases(mongodb.hostname or "", mongodb.port or 27017)


def _databases(host: str, port: int) -> str:
    from pymongo import MongoClient
    from pymongo.errors import OperationFailure

    with MongoClient[dict[str, object]](host, port, directConnection=True, serverSelectionTimeoutMS=5_000) as client:
        try:
            return f"MongoDB shows {client.list_database_names()}"
        except OperationFailure:
            return ""
