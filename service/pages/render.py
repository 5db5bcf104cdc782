"""Templates to replies. Everything is escaped unless a template says otherwise, and none does."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from sanic import Request

from service import money
from service.catalog.models import Image, Product
from service.clock import Clock
from service.config import Config
from service.ids import Ids
from service.pages.static_files import StaticFiles
from service.web.http.operation import Reply
from service.web.security.csrf import Csrf

TEMPLATES = Path(__file__).parent / "templates"
HTML = "text/html; charset=utf-8"
Again = Callable[[str, int], Awaitable[Reply]]  # the page that holds a form, shown again with a sentence and a status
SAID = {
    "added": "Added to your cart.",
    "noted": "We will tell you when it is back.",
    "verified": "Thank you: your address is verified.",
    "protected": "Your second factor is set up.",
    "unprotected": "Your second factor is removed.",
    "reset": "Your new password is set. Sign in with it.",
    "mailed": "If there is an account with this address, a mail with a link is on its way.",
    "cancelled": "The order is cancelled.",
    "received": "The goods are received.",
    "started": "The job is started.",
    "acknowledged": "The alert is acknowledged.",
}


class Pages:
    def __init__(self, static_files: StaticFiles, csrf: Csrf, clock: Clock, ids: Ids, config: Config) -> None:
        self._csrf, self._clock, self._ids, self._config = csrf, clock, ids, config
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.globals |= {
            "static": static_files.url,
            "hold_for": duration(config.reservation_ttl_seconds),
            "currency": config.currency,
            "currency_symbol": money.symbol(config.currency),
        }
        self._templates.filters |= {
            "money": money.spoken,
            "moment": moment,
            "clock": clock_face,
            "duration": duration,
            "seconds_left": self._seconds_left,
            "pictures": self._pictures,
        }

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> Reply:
        """`template` with the caller, this response's nonce and what its forms need beside its values."""
        token = self._csrf_token(request)
        body = self._templates.get_template(template).render(
            nonce=request.ctx.csp_nonce,
            caller=request.ctx.principal,
            path=request.path,
            here=f"{request.path}?{request.query_string}" if request.query_string else request.path,
            csrf_token=token,
            new_key=self._ids.secret,
            said=values.pop("said", "") or SAID.get(_last(request.args, "said"), ""),
            **{"error": "", **values},
        )
        return Reply(status, body.encode(), content_type=HTML)

    def part(self, template: str, **values: Any) -> Markup:
        """A piece of a page that is the same for everybody."""
        return Markup(self._templates.get_template(template).render(values))  # nosec B704 - escaped as it was written

    def problem(self, _: Request, document: Mapping[str, Any]) -> bytes:
        """An error for people. It asks nothing of a request that may not have been read."""
        return self._templates.get_template("problem.html").render(problem=document).encode()

    def _csrf_token(self, request: Request) -> str:
        """For the forms of whoever has a session, alive or not: without one there is nothing to forge."""
        credential = request.ctx.credential
        if credential is None or credential.claims is None:
            return ""
        return self._csrf.token(request, credential.claims.session_id)

    def _seconds_left(self, until: datetime) -> int:
        return max(0, round((until - self._clock.now()).total_seconds()))

    def _pictures(self, product: Product) -> list[Image]:
        """Those that the page's own security policy lets a browser load."""
        return [image for image in product.images if self._may_show(image.url)]

    def _may_show(self, url: str) -> bool:
        parts = urlsplit(url)
        if not parts.netloc:
            return True
        origin = f"{parts.scheme}://{parts.netloc}"
        exact = {f"{parts.scheme}:", parts.netloc, origin}
        return any(source in exact or _below(parts.netloc, source) for source in self._config.image_sources)


def _below(host: str, source: str) -> bool:
    return source.startswith("*.") and host.endswith(source[1:])


def _last(arguments: Mapping[str, Any], name: str) -> str:
    given = arguments.get(name)
    return given if isinstance(given, str) else ""


def moment(at: datetime) -> str:
    return at.strftime("%-d %B %Y, %H:%M UTC")


def clock_face(seconds: int) -> str:
    """899 is 14:59."""
    return f"{seconds // 60}:{seconds % 60:02}"


def duration(seconds: float) -> str:
    """In the largest unit that tells it exactly."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{seconds:g} second{'' if seconds == 1 else 's'}"


def link(path: str, query: dict[str, Any], **changes: Any) -> str:
    """The same page with some of its query changed; what is None is left out."""
    merged = {name: value for name, value in {**query, **changes}.items() if value not in {None, ""}}
    return f"{path}?{urlencode(merged)}" if merged else path
