"""Forms that browsers send without a script: `application/x-www-form-urlencoded`, read once and bounded."""

from urllib.parse import parse_qsl

from sanic import Request

from service.errors import Malformed, Unsupported

CONTENT_TYPE = "application/x-www-form-urlencoded"
CSRF_FIELD = "csrfToken"
FIELDS_MAX = 100


def is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == CONTENT_TYPE


def fields(request: Request) -> dict[str, str]:
    """What was filled in, by name; of a field that comes twice the last counts. Raises Unsupported, Malformed."""
    if not is_form(request):
        raise Unsupported(f"Send {CONTENT_TYPE}")
    known: dict[str, str] | None = getattr(request.ctx, "form_fields", None)
    if known is None:
        known = request.ctx.form_fields = _read(request.body)
    return known


def _read(body: bytes) -> dict[str, str]:
    try:
        text = body.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except ValueError:  # UnicodeDecodeError is one
        raise Malformed("The form cannot be read") from None
    return dict(pairs)
