"""Cached answers as replies: the body was compressed when it was made, so sending it again costs no compression."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from service.infra import json
from service.infra.redis.response_cache import Cache, CachedResponse
from service.web.http.accept_encoding import IDENTITY, choose
from service.web.http.compress import Codecs, accept_encoding, encode
from service.web.http.operation import Call, Reply

JSON = "application/json"
TAG_BYTES = 12


class ReadyReplies:
    """For public reads that are the same for everyone; the request's own path and query are the key."""

    def __init__(self, cache: Cache, codecs: Codecs) -> None:
        self._cache, self._codecs = cache, codecs

    async def reply(self, call: Call[Any], view: Callable[[], Awaitable[Any]]) -> Reply:
        """`view` gives what is to be said, when it is not known yet."""
        accepted = accept_encoding(call.request)
        coding = choose(accepted, self._codecs.offered)

        async def make() -> CachedResponse:
            return self._made(await view(), accepted)

        ready = await self._cache.get(b"%b %b" % (coding.encode(), call.request.raw_url), make)
        return _reply(ready)

    def fresh(self, view: Any) -> Reply:
        """A reply for one caller alone, that may be answered with 304 like the others."""
        return _reply(self._made(view, None))

    @property
    def generation(self) -> bytes:
        """The state of the catalogue that a view is made from; empty while Redis is down and nobody can tell."""
        return self._cache.current

    async def forget(self) -> None:
        """After a change: nobody is answered from before it."""
        await self._cache.generation.end()

    def _made(self, view: Any, accepted: str | None) -> CachedResponse:
        body = json.encode(view)
        tag = hashlib.blake2b(body, digest_size=TAG_BYTES).hexdigest()
        encoded = encode(body, JSON, accepted, self._codecs)
        return CachedResponse(encoded.body, encoded.coding, tag)


def _reply(ready: CachedResponse) -> Reply:
    headers = {"ETag": f'"{ready.tag}"', "Cache-Control": "no-cache"}
    if ready.coding != IDENTITY:
        headers["Content-Encoding"] = ready.coding
    return Reply(200, ready.body, headers)
