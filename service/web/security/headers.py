"""Helmet's headers, from the `secure` library's preset, made stricter where JSON allows it. They are prepared as
bytes once; the connection puts them into every response, so no route and no error can be without them."""

from secure import Preset, Secure

JSON_CSP = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PAGE_CSP = (
    "default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic'; style-src 'self' 'nonce-{nonce}'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
CSP = "content-security-policy"
OVERRIDES = {
    "strict-transport-security": "max-age=63072000; includeSubDomains",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
REMOVED = {"server", "x-powered-by", "alt-svc"}


def security_headers() -> dict[str, str]:
    """Names in lower case. Without a CSP: that depends on what is answered."""
    preset = {name.lower(): value for name, value in Secure.from_preset(Preset.BASIC).headers.items()}
    return {name: value for name, value in (preset | OVERRIDES).items() if name != CSP and name not in REMOVED}


def page_csp(nonce: str) -> str:
    """For pages: only scripts and styles that carry this response's nonce."""
    return PAGE_CSP.format(nonce=nonce)


def as_bytes(headers: dict[str, str]) -> bytes:
    return b"".join(f"{name}: {value}\r\n".encode("ascii") for name, value in headers.items())
