"""API keys on the wire."""

from datetime import datetime
from typing import Annotated

import msgspec

from service.auth.models import ApiKey
from service.auth.schemas import NAME_PATTERN
from service.web.http.access import SCOPES, Scope
from service.web.http.operation import Wire

KEY_NAME_MAX = 80
KeyName = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN, max_length=KEY_NAME_MAX, examples=["warehouse system"])]
Scopes = Annotated[list[Scope], msgspec.Meta(min_length=1, max_length=len(SCOPES), examples=[["stock:read"]])]
DAY_SECONDS = 86_400


class ApiKeyBody(Wire):
    """`scopes`: what the key may do; writing does not include reading. Without `expiresAt` it works until revoked."""

    name: KeyName
    scopes: Scopes
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class RotateBody(Wire):
    """How long the secret so far works on, beside the new one: a day if nothing is said, 30 days at most."""

    overlap_seconds: Annotated[int, msgspec.Meta(ge=0, le=30 * DAY_SECONDS, examples=[3_600])] = DAY_SECONDS


class ApiKeysQuery(Wire):
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 24
    cursor: Annotated[str, msgspec.Meta(max_length=200)] | None = None


class ApiKeyView(Wire):
    """`lastUsedAt` is right to the minute. `replacedWorksUntil`: the end of the secret before the last rotation."""

    id: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    replaced_works_until: datetime | None


class ShownApiKeyReply(Wire):
    """`key` is shown this once: send it as `X-API-Key`."""

    api_key: ApiKeyView
    key: str


class ApiKeysReply(Wire):
    items: list[ApiKeyView]
    next_cursor: str | None


def key_view(key: ApiKey) -> ApiKeyView:
    return ApiKeyView(
        id=key.id,
        name=key.name,
        scopes=[scope for scope in SCOPES if scope in key.scopes],
        created_at=key.created_at,
        created_by=key.created_by,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
        replaced_works_until=key.secrets[0].ends_at,
    )
