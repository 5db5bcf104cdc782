"""/api/admin/api-keys: the keys of services. Only people who are admins make, rotate and revoke them."""

from functools import partial

import msgspec
from sanic import Blueprint

from service.auth.api_key_schemas import (
    ApiKeyBody,
    ApiKeysQuery,
    ApiKeysReply,
    RotateBody,
    ShownApiKeyReply,
    key_view,
)
from service.auth.api_keys import ApiKeys
from service.auth.models import ApiKeyNotFound, TooManyApiKeys
from service.errors import Conflict
from service.web.http import cursor
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, operation


class Position(msgspec.Struct, array_like=True):
    id: str


def routes(keys: ApiKeys) -> Blueprint:
    """Nothing here is compressed: the answers carry secrets."""
    blueprint = Blueprint("api_keys", url_prefix="/api/admin/api-keys")
    declare = partial(operation, blueprint, access=Access.ADMIN, compress=False)

    @declare("GET", "/", "API keys, newest first", takes=ApiKeysQuery, returns={200: ApiKeysReply})
    async def api_keys(call: Call[ApiKeysQuery]) -> Reply:
        """Without the keys themselves, which nobody can read again."""
        taken = call.taken
        before = None if taken.cursor is None else cursor.decode(taken.cursor, Position).id
        found = await keys.newest(before, taken.limit + 1)
        after = cursor.encode(Position(found[taken.limit - 1].id)) if len(found) > taken.limit else None
        return Reply(200, ApiKeysReply(items=[key_view(key) for key in found[: taken.limit]], next_cursor=after))

    @declare(
        "POST",
        "/",
        "Make an API key for a service; it is shown this once",
        takes=ApiKeyBody,
        returns={201: ShownApiKeyReply},
        errors=(TooManyApiKeys,),
        gives={"key_id": "/apiKey/id"},
    )
    async def create_api_key(call: Call[ApiKeyBody]) -> Reply:
        """The service sends it as `X-API-Key`. It opens the routes of its scopes, counts as an account of its own in
        the rate limits, and needs no CSRF token."""
        taken = call.taken
        made = await keys.create(taken.name, taken.scopes, call.user.user_id, taken.expires_at)
        call.request.ctx.subject = made.key.id
        return Reply(201, ShownApiKeyReply(api_key=key_view(made.key), key=made.text))

    _existing(blueprint, keys)
    return blueprint


def _existing(blueprint: Blueprint, keys: ApiKeys) -> None:
    declare = partial(operation, blueprint, access=Access.ADMIN, compress=False)

    @declare(
        "POST",
        "/<key_id:str>/rotate",
        "Replace the secret of an API key; the old one works for a while",
        takes=RotateBody,
        returns={200: ShownApiKeyReply},
        errors=(ApiKeyNotFound, Conflict),
        body_optional=True,
    )
    async def rotate_api_key(call: Call[RotateBody], key_id: str) -> Reply:
        """Both work for `overlapSeconds`. Rotated once more meanwhile, the oldest ends at once."""
        made = await keys.rotate(key_id, call.taken.overlap_seconds)
        call.request.ctx.subject = key_id
        return Reply(200, ShownApiKeyReply(api_key=key_view(made.key), key=made.text))

    @declare("DELETE", "/<key_id:str>", "Revoke an API key", returns={204: None}, errors=(ApiKeyNotFound,))
    async def revoke_api_key(call: Call[Nothing], key_id: str) -> Reply:
        """It ends within a second, in every process."""
        await keys.revoke(key_id)
        call.request.ctx.subject = key_id
        return Reply(204)
