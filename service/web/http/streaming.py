"""Replies that are sent as they are made, piece by piece: nothing of them is kept."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from sanic import Request

from service.web.http.operation import Reply
from service.web.http.rows import CSV, JSON_LINES, written

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def streamed(
    pieces: AsyncIterator[bytes], content_type: str = "application/json", headers: Mapping[str, str] = NO_HEADERS
) -> Reply:
    """HEAD sends the head alone."""

    async def send(request: Request) -> None:
        response = await request.respond(content_type=content_type, headers={"Cache-Control": "no-store", **headers})
        if request.method != "HEAD":
            async for piece in pieces:
                await response.send(piece)
        await response.eof()

    return Reply(200, stream=send)


def file_of_rows(
    name: str, kind: Literal["csv", "jsonl"], pages: AsyncIterator[Iterable[Mapping[str, Any]]], columns: Sequence[str]
) -> Reply:
    """All pages as one file to be kept under `name`."""
    media = CSV if kind == "csv" else JSON_LINES

    async def pieces() -> AsyncIterator[bytes]:
        if header := written((), columns, media, header=True):
            yield header
        async for page in pages:
            yield written(page, columns, media, header=False)

    kept = {"Content-Disposition": f'attachment; filename="{name}.{kind}"'}
    return streamed(pieces(), f"{media}; charset=utf-8", kept)
