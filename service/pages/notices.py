"""Where the links of back-in-stock mails lead: a page that asks, and the click that does it.

A mail program unsubscribes by POST to the same address (RFC 8058), so nothing happens by opening a link alone, which
scanners of mail do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from sanic import Blueprint

from service.alerts.models import BadNoticeLink
from service.alerts.usecases import Notices
from service.pages.render import Pages
from service.web.http.access import Access
from service.web.http.operation import Call, Nothing, Reply, operation

PAGE = {200: None}


@dataclass(frozen=True, slots=True)
class Question:
    """What a page asks, and what it says when it is done."""

    path: str
    title: str
    text: str
    button: str
    done: str


UNSUBSCRIBE = Question(
    "unsubscribe",
    "No more notices",
    "No mail about products that are back in stock will go to your address any more, whoever asked for it.",
    "Stop these mails",
    "It is done: no such mail will go to your address any more.",
)
CONFIRM = Question(
    "confirm",
    "Be told when it is back",
    "Your address was given to be told when a product is back in stock. You can stop these mails at any time.",
    "Yes, write to me",
    "Thank you: we will write to you when it is back in stock.",
)


def routes(notices: Notices, pages: Pages) -> Blueprint:
    blueprint = Blueprint("notices", url_prefix="/notices")
    _question(blueprint, pages, UNSUBSCRIBE, notices.unsubscribe_address)
    _question(blueprint, pages, CONFIRM, notices.confirm)
    return blueprint


def _question(blueprint: Blueprint, pages: Pages, question: Question, act: Callable[[str], Awaitable[None]]) -> None:
    declare = partial(operation, blueprint, returns=PAGE, access=Access.PUBLIC, errors=(BadNoticeLink,))

    async def ask(call: Call[Nothing], link: str) -> Reply:
        return pages.page(call.request, "notices.html", question=question, done=False)

    async def do(call: Call[Nothing], link: str) -> Reply:
        await act(link)
        return pages.page(call.request, "notices.html", question=question, done=True)

    ask.__name__, do.__name__ = f"ask_{question.path}", question.path
    declare("GET", f"/{question.path}/<link:str>", question.title, limit="read")(ask)
    declare("POST", f"/{question.path}/<link:str>", question.title)(do)
