"""CORS layer: pages of the allow-listed origins may call the API and read its answers; nobody else may."""

from collections.abc import Iterable

from sanic import HTTPResponse, Request

from service.web.http.operation import Operation

ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
ALWAYS_ALLOWED = ("Authorization", "Content-Type", "X-CSRF-Token", "X-Request-ID")
ALWAYS_EXPOSED = ("Allow", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID")
PREFLIGHT_SECONDS = 600
PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class Cors:
    def __init__(self, origins: str) -> None:
        """`origins`: comma-separated, such as "https://shop.example"."""
        self._allowed, self._exposed = ", ".join(ALWAYS_ALLOWED), ", ".join(ALWAYS_EXPOSED)
        self.origins = frozenset(part.strip().rstrip("/") for part in origins.split(",") if part.strip())

    def declare(self, operations: Iterable[Operation]) -> None:
        """Allows and exposes what the routes read and write."""
        declared = list(operations)
        allowed = {name for one in declared for name in one.reads}
        exposed = {name for one in declared for name in one.writes}
        self._allowed = ", ".join(sorted({*ALWAYS_ALLOWED, *allowed}))
        self._exposed = ", ".join(sorted({*ALWAYS_EXPOSED, *exposed}))

    def preflight(self, request: Request) -> HTTPResponse | None:
        """The answer to a preflight; None for any other request."""
        if request.method != "OPTIONS" or "access-control-request-method" not in request.headers:
            return None
        headers = {"Vary": PREFLIGHT_VARY}
        if request.headers.get("origin") in self.origins:
            headers["Access-Control-Allow-Methods"] = ALLOWED_METHODS
            headers["Access-Control-Allow-Headers"] = self._allowed
            headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        return HTTPResponse(status=204, headers=headers)

    def head(self, request: Request) -> bytes:
        """Header fields of any response. They vary with the origin as soon as anybody is allowed."""
        if not self.origins:
            return b""
        origin = request.headers.get("origin")
        if origin not in self.origins:
            return b"vary: Origin\r\n"
        return (
            f"vary: Origin\r\naccess-control-allow-origin: {origin}\r\naccess-control-allow-credentials: true\r\n"
            f"access-control-expose-headers: {self._exposed}\r\n"
        ).encode("ascii")
