"""A supervisor over tiny children: `fake_stack.py DATA PORT WORKERS` runs it, `fake_stack.py ROLE ...` is a child.

An API child answers every path with what it knows of itself; `/crash` ends it, `/hold` opens a transaction on the
document `hot` and answers while it is open. Each child notes in `starts.log` its pid and in `stops.log` that it was
told to stop, and whether the stores were still there. FAKE_STATUS is what the API answers with, FAKE_BROKEN names a
child that cannot start, FAKE_STUBBORN one that does not stop, FAKE_PATIENCE_SECONDS is how long the supervisor waits.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ME = (sys.executable, __file__)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    path = (await reader.readline()).split()[1].decode()
    if path == "/crash":
        os.write(sys.stdout.fileno(), b"crashed on purpose\n")
        os._exit(3)
    if path == "/hold":
        await hold()
    status = os.environ.get("FAKE_STATUS", "200 OK").encode()
    body = json.dumps({"pid": os.getpid(), **os.environ}).encode()
    writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body))
    await writer.drain()
    writer.close()


held: list[Any] = []


async def hold() -> None:
    from pymongo import AsyncMongoClient  # a child that need not import it starts four times as fast

    mongo: Any = AsyncMongoClient(os.environ["MONGODB_URI"], appname=os.environ["HOLDFAST_APP_NAME"])
    held.append(mongo.start_session())
    await held[0].start_transaction()
    await mongo.holdfast_fake.inventory.update_one({"_id": "hot"}, {"$inc": {"reserved": 1}}, session=held[0])


async def child(name: str, listener: socket.socket | None = None) -> None:
    if os.environ.get("FAKE_BROKEN") == name:
        sys.exit("I cannot start: the configuration is wrong")
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    if listener:
        await asyncio.start_server(answer, sock=listener)
    note("starts.log", str(os.getpid()))
    await told.wait()
    note("stops.log", f"{name} {'with stores' if stores_are_there() else 'without stores'}")
    if os.environ.get("FAKE_STUBBORN") == name:
        await asyncio.sleep(60)


def note(file: str, line: str) -> None:
    with (Path(os.environ["HOLDFAST_DATA"]) / file).open("a") as log:
        log.write(f"{line}\n")


def stores_are_there() -> bool:
    stores = [urlsplit(os.environ[url]) for url in ("MONGODB_URI", "REDIS_URL")]
    return all(listens(store.hostname or "", store.port or 0) for store in stores)


def listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def supervise(data: str, port: str, workers: str) -> int:
    from service.stack import supervisor
    from service.stack.processes import restarts

    restarts.PAUSE_SECONDS_MAX = 0.1  # crash loops end soon
    supervisor.READY_SECONDS_MAX = int(os.environ.get("FAKE_PATIENCE_SECONDS", "60"))
    programs = supervisor.Programs(api=(*ME, "api"), worker=(*ME, "worker"), scheduler=(*ME, "scheduler"))
    return supervisor.run(Path(data), "127.0.0.1", int(port), int(workers), programs)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["api", "--fd", number]:
            asyncio.run(child("api", socket.socket(fileno=int(number))))
        case ["worker" | "scheduler" as role]:
            asyncio.run(child(role))
        case [folder, port, workers]:
            sys.exit(supervise(folder, port, workers))
