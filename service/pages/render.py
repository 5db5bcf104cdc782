"""Templates to replies. Everything is escaped unless a template says otherwise, and none does."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from sanic import Request

from service.pages.static_files import StaticFiles
from service.web.http.operation import Reply

TEMPLATES = Path(__file__).parent / "templates"
SYMBOLS = {"GBP": "£", "EUR": "€", "USD": "$"}
HTML = "text/html; charset=utf-8"


class Pages:
    def __init__(self, static_files: StaticFiles) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.globals["static"] = static_files.url
        self._templates.filters |= {"money": money, "moment": moment, "duration": duration}

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> Reply:
        """`template` with the caller and this response's nonce beside its values."""
        body = self._templates.get_template(template).render(
            nonce=request.ctx.csp_nonce, caller=request.ctx.principal, path=request.path, **values
        )
        return Reply(status, body.encode(), content_type=HTML)

    def part(self, template: str, **values: Any) -> Markup:
        """A piece of a page that is the same for everybody."""
        return Markup(self._templates.get_template(template).render(values))  # nosec B704 - escaped as it was written

    def problem(self, _: Request, document: Mapping[str, Any]) -> bytes:
        """An error for people. It asks nothing of a request that may not have been read."""
        return self._templates.get_template("problem.html").render(problem=document).encode()


def money(amount: int, currency: str) -> str:
    return f"{SYMBOLS.get(currency, currency + ' ')}{amount / 100:,.2f}"


def moment(at: datetime) -> str:
    return at.strftime("%-d %B %Y, %H:%M UTC")


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
