"""Access tokens are JWTs, valid minutes, and only while their session lives. Refresh tokens are opaque.

A refresh token is session, generation and an HMAC over both: nothing has to be stored but the generation, one that
was never issued is told from one that was used before, and the next one is known in advance, so a second tab that
refreshes at the same moment is given the same successor.
"""

import base64
import hmac
import re
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from service.auth.models import BadRefreshToken, User
from service.clock import Clock
from service.config import Config
from service.ids import Ids
from service.web.security.credentials import Claims

ALGORITHM = "HS256"
ISSUER, AUDIENCE, TYPE = "holdfast", "holdfast-api", "at+jwt"
REQUIRED = ["exp", "iat", "sub", "jti", "aud", "iss", "sid"]
GENERATION = re.compile(r"[1-9][0-9]{0,8}(?![\s\S])")
MAIL_TOKEN = "mail token"  # the purpose of its key: `config.key(MAIL_TOKEN)`


def mail_token(key: bytes, ticket: str) -> str:
    """The token of a link, from the ticket in `MailRequested.values`."""
    return _base64(hmac.digest(key, ticket.encode(), "sha256"))


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Tokens:
    """Implements `web.credentials.TokenReader`."""

    def __init__(self, clock: Clock, ids: Ids, config: Config) -> None:
        self._clock, self._ids, self._config = clock, ids, config
        self._access_keys, self._refresh_keys = config.keys("access token"), config.keys("refresh token")
        self._known: OrderedDict[str, Claims] = OrderedDict()

    def access(self, user: User, session_id: str) -> str:
        now = self._clock.now()
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user.id,
            "sid": session_id,
            "jti": self._ids.new(),
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(seconds=self._config.access_token_ttl_seconds)).timestamp()),
        }
        return jwt.encode(claims, self._access_keys[0], ALGORITHM, headers={"typ": TYPE})

    def read(self, token: str) -> Claims | None:
        """None for anything that is not one of our own access tokens, valid now. A signature is verified once and
        remembered until the token expires; whether the session still lives is asked of Redis every time."""
        known = self._known.get(token)
        if known is not None:
            if known.expires_at > self._clock.now():
                return known
            del self._known[token]
            return None
        claims = self._verify(token)
        if claims is not None:
            self._remember(token, claims)
        return claims

    def _verify(self, token: str) -> Claims | None:
        found = (self._verify_with(key, token) for key in self._access_keys)
        return next((claims for claims in found if claims is not None), None)

    def _verify_with(self, key: bytes, token: str) -> Claims | None:
        try:
            decoded = jwt.decode_complete(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={
                    "require": REQUIRED,
                    "enforce_minimum_key_length": True,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            return None
        return self._accepted(decoded["header"], decoded["payload"])

    def _accepted(self, header: dict[str, Any], payload: dict[str, Any]) -> Claims | None:
        """Time is judged by the injected clock, so these checks are ours and not the library's."""
        user_id, session_id, expires = payload["sub"], payload["sid"], payload["exp"]
        if header.get("typ") != TYPE or header.keys() - {"typ", "alg"}:
            return None
        if not isinstance(user_id, str) or not isinstance(session_id, str) or not isinstance(expires, int):
            return None
        if expires <= self._clock.now().timestamp():
            return None
        return Claims(user_id, session_id, datetime.fromtimestamp(expires, UTC))

    def _remember(self, token: str, claims: Claims) -> None:
        self._known[token] = claims
        if len(self._known) > self._config.tokens_remembered_max:
            self._known.popitem(last=False)

    def refresh(self, session_id: str, generation: int) -> str:
        return f"{session_id}.{generation}.{_mac(self._refresh_keys[0], session_id, generation)}"

    def read_refresh(self, token: str) -> tuple[str, int]:
        """Session and generation of a refresh token of ours. Raises BadRefreshToken."""
        session_id, _, rest = token.partition(".")
        generation, _, mac = rest.partition(".")
        if not GENERATION.match(generation):
            raise BadRefreshToken()
        macs = (_mac(key, session_id, int(generation)) for key in self._refresh_keys)
        if not any(hmac.compare_digest(mac.encode(), one.encode()) for one in macs):
            raise BadRefreshToken()
        return session_id, int(generation)


def _mac(key: bytes, session_id: str, generation: int) -> str:
    return _base64(hmac.digest(key, f"{session_id}.{generation}".encode(), "sha256"))
