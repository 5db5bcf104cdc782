"""A real SMTP server and a real webhook receiver, whose moods the test decides."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class Inboxes:
    """`answers` are what the next mails get instead of being taken, one each; `drop_after_data` takes a mail and then
    hangs up without saying so."""

    url: str = ""
    mails: list[Message] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    drop_after_data: int = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.answers:
            return self.answers.pop(0)
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content))
        if self.drop_after_data:
            self.drop_after_data -= 1
            assert server.transport is not None
            server.transport.abort()
        return "250 OK"

    def to(self, address: str) -> list[Message]:
        return [mail for mail in self.mails if mail["To"] == address]


@asynccontextmanager
async def smtp_server(port: int = 0) -> AsyncIterator[Inboxes]:
    inboxes, loop = Inboxes(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(inboxes, loop=loop), "127.0.0.1", port)
    inboxes.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield inboxes
    finally:
        server.close()


@dataclass
class Receiver:
    """`answers` are the statuses of the next requests, 200 when there are none."""

    url: str = ""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)


@asynccontextmanager
async def webhook_receiver() -> AsyncIterator[Receiver]:
    receiver, app = Receiver(), web.Application()
    app.router.add_post("/hook", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()
