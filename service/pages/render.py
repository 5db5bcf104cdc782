"""Templates to replies. Everything is escaped unless a template says otherwise, and none does."""

from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
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
        self._templates.filters |= {"money": money, "moment": moment}

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> Reply:
        """`template` with the caller and this response's nonce beside its values."""
        body = self._templates.get_template(template).render(
            nonce=request.ctx.csp_nonce, caller=request.ctx.principal, path=request.path, **values
        )
        return Reply(status, body.encode(), content_type=HTML)


def money(amount: int, currency: str) -> str:
    return f"{SYMBOLS.get(currency, currency + ' ')}{amount / 100:,.2f}"


def moment(at: datetime) -> str:
    return at.strftime("%-d %B %Y, %H:%M UTC")


def link(path: str, query: dict[str, Any], **changes: Any) -> str:
    """The same page with some of its query changed; what is None is left out."""
    merged = {name: value for name, value in {**query, **changes}.items() if value not in {None, ""}}
    return f"{path}?{urlencode(merged)}" if merged else path
