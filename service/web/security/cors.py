"""CORS layer: pages of the allow-listed origins may call the API and read its answers; nobody else may."""

from sanic import HTTPResponse, Request

ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
ALLOWED_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-CSRF-Token, X-Request-ID"
)
EXPOSED_HEADERS = "ETag, Idempotency-Replayed, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID"
PREFLIGHT_SECONDS = 600
PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class Cors:
    def __init__(self, origins: str) -> None:
        """`origins`: comma-separated, such as "https://shop.example"."""
        self.origins = frozenset(part.strip().rstrip("/") for part in origins.split(",") if part.strip())

    def preflight(self, request: Request) -> HTTPResponse | None:
        """The answer to a preflight; None for any other request."""
        if request.method != "OPTIONS" or "access-control-request-method" not in request.headers:
            return None
        headers = {"Vary": PREFLIGHT_VARY}
        if request.headers.get("origin") in self.origins:
            headers["Access-Control-Allow-Methods"] = ALLOWED_METHODS
            headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
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
            f"access-control-expose-headers: {EXPOSED_HEADERS}\r\n"
        ).encode("ascii")
