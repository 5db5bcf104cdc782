"""Helmet's headers, from the `secure` library's preset, made stricter where JSON allows it. They are prepared as
bytes once; the connection puts them into every response, so no route and no error can be without them."""

from secure import Preset, Secure

JSON_CSP = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PAGE_CSP = (
    "default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic'; style-src 'self' 'nonce-{nonce}'; "
    "img-src 'self' data:{images}; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
CSP = "content-security-policy"
# Our own forms say where they come from and nobody else learns it: with `no-referrer` browsers send `Origin: null`.
PAGE_HEADERS = {"referrer-policy": "same-origin"}
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


def page_csp(nonce: str, images: str = "") -> str:
    """For pages: only scripts and styles that carry this response's nonce; `images`: further sources of pictures."""
    return PAGE_CSP.format(nonce=nonce, images=f" {images}" if images else "")


def as_bytes(headers: dict[str, str]) -> bytes:
    return b"".join(f"{name}: {value}\r\n".encode("ascii") for name, value in headers.items())
