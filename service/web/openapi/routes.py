"""Publishes the document: made once, when it is first asked for, from the routes of the app that was asked, and
compressed once for each coding."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sanic import Blueprint

from service.infra import json
from service.web.http.accept_encoding import IDENTITY, choose
from service.web.http.access import Access
from service.web.http.compress import Codecs, accept_encoding, encode
from service.web.http.operation import Call, Nothing, Reply, operation
from service.web.openapi.specification import document
from service.web.security.cookies import CookieNames

JSON = "application/json"


class Published:
    def __init__(self, names: CookieNames, version: str, codecs: Codecs) -> None:
        self._names, self._version, self._codecs = names, version, codecs
        self.document = lru_cache(maxsize=1)(self._document)
        self._body = lru_cache(maxsize=1)(self._encode)
        self._coded = lru_cache(maxsize=len(codecs.offered) + 1)(self._compress)

    def reply(self, call: Call[Any]) -> Reply:
        coding = choose(accept_encoding(call.request), self._codecs.offered)
        body = self._coded(call.request.app, coding)
        headers = {"ETag": self._tag(call.request.app), "Cache-Control": "public, max-age=300"}
        if coding != IDENTITY:
            headers["Content-Encoding"] = coding
        return Reply(200, body, headers)

    def _document(self, app: Any) -> Mapping[str, Any]:
        return document(app.router.routes, self._names, self._version)

    def _encode(self, app: Any) -> tuple[bytes, str]:
        body = json.encode(self.document(app))
        return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'

    def _tag(self, app: Any) -> str:
        return self._body(app)[1]

    def _compress(self, app: Any, coding: str) -> bytes:
        body, _ = self._body(app)
        return body if coding == IDENTITY else encode(body, JSON, coding, self._codecs).body


def routes(published: Published) -> Blueprint:
    blueprint = Blueprint("openapi")

    @operation(
        blueprint,
        "GET",
        "/openapi.json",
        "This document",
        returns={200: dict[str, Any], 304: None},
        access=Access.PUBLIC,
        limit="read",
    )
    async def openapi(call: Call[Nothing]) -> Reply:
        """OpenAPI 3.1, made from the declarations that check the requests. Carries an `ETag`."""
        return published.reply(call)

    return blueprint
