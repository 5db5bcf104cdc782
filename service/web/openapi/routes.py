"""Publishes the document: made once, when it is first asked for, from the routes of the app that was asked."""

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from sanic import Blueprint, Request

from service.infra import json
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, operation
from service.web.openapi.specification import document
from service.web.security.cookies import CookieNames

Published = Callable[[Request], Mapping[str, Any]]


def publisher(names: CookieNames, version: str) -> Published:
    @lru_cache(maxsize=1)
    def published(app: Any) -> Mapping[str, Any]:
        return document(app.router.routes, names, version)

    return lambda request: published(request.app)


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
        body = json.encode(published(call.request))
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        return Reply(200, body, {"ETag": etag, "Cache-Control": "public, max-age=300"})

    return blueprint
