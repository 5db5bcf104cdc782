"""CSRF layer: unsafe requests under cookie credentials must show a token bound to their session.

A signed double submit: the token is HMAC(key, session, nonce), sent back as X-CSRF-Token, which only our own pages can
do, and compared with the cookie that came with it. The signature alone ties it to the session, so a client that keeps
no csrf cookie is no weaker for it, and nothing is stored. Requests that a browser marks as coming from another site
are refused before that.
"""

import base64
import hmac

from sanic import Request

from service.errors import Forbidden
from service.ids import Ids
from service.web.http import forms
from service.web.security.cookies import presented

NONCE_BYTES = 16
TOKEN_LENGTH = 64  # 16 bytes of nonce and 32 of HMAC in base64


class CsrfFailed(Forbidden):
    code, title = "csrf_failed", "The request did not prove that it comes from our own pages"


class Csrf:
    def __init__(self, keys: tuple[bytes, ...], ids: Ids, origins: frozenset[str], cookie: str) -> None:
        """`origins`: the pages that may call us, such as "https://shop.example"; `cookie`: the name of ours."""
        self._keys, self._ids, self._origins, self._cookie = keys, ids, origins, cookie

    def token(self, request: Request, session_id: str) -> str:
        """The one that the browser's cookie already holds, so that two tabs share it, or a new one."""
        held = self._held(request)
        return held if held is not None and self._is_of(held, session_id) else self.issue(session_id)

    def issue(self, session_id: str) -> str:
        nonce = bytes.fromhex(self._ids.secret())[:NONCE_BYTES]
        return base64.urlsafe_b64encode(nonce + _mac(self._keys[0], session_id, nonce)).decode()

    def check(self, request: Request, session_id: str) -> None:
        """Raises CsrfFailed unless X-CSRF-Token, or the hidden field of a page's form, was issued to this session."""
        token, held = request.headers.get("x-csrf-token"), self._held(request)
        if token is None and forms.is_form(request):
            self._check_form(request, session_id)
            return
        if token is None:
            raise CsrfFailed("Send the token of GET /api/auth/csrf as X-CSRF-Token")
        if not self._is_of(token, session_id):
            raise CsrfFailed("X-CSRF-Token was not issued to this session")
        if held is not None and not hmac.compare_digest(held.encode(), token.encode()):
            raise CsrfFailed("X-CSRF-Token is not the one of the cookie")

    def _check_form(self, request: Request, session_id: str) -> None:
        """The page that holds the form may have been made before the cookie was: the signature alone decides."""
        if not self._is_of(forms.fields(request).get(forms.CSRF_FIELD, ""), session_id):
            raise CsrfFailed("The page is out of date: load it again, then send the form")

    def _held(self, request: Request) -> str | None:
        return presented(request.cookies.getlist(self._cookie)) if "cookie" in request.headers else None

    def _is_of(self, token: str, session_id: str) -> bool:
        if len(token) != TOKEN_LENGTH or not token.isascii():
            return False
        try:
            raw = base64.b64decode(token, altchars=b"-_", validate=True)
        except ValueError:
            return False
        macs = (_mac(key, session_id, raw[:NONCE_BYTES]) for key in self._keys)
        return any(hmac.compare_digest(raw[NONCE_BYTES:], mac) for mac in macs)

    def check_origin(self, request: Request) -> None:
        """Refuses an unsafe request that a browser says was made by a page of another site."""
        headers = request.headers
        origin = headers.get("origin")
        if origin is not None:
            if origin not in self._origins and not _same_host(origin, headers.get("host", "")):
                raise CsrfFailed("The request was made by a page of another site")
        elif headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
            raise CsrfFailed("The request was made by a page of another site")


def _mac(key: bytes, session_id: str, nonce: bytes) -> bytes:
    return hmac.digest(key, session_id.encode() + b"\0" + nonce, "sha256")


def _same_host(origin: str, host: str) -> bool:
    """A page of our own. The scheme may differ: a TLS proxy stands before us, and HSTS rules out plain http there."""
    scheme, _, rest = origin.partition("://")
    return scheme in {"http", "https"} and rest != "" and rest == host
