"""Refusals and faults as pages, in the shop's own style: what happened, and what can be done about it."""

import logging
from collections.abc import Mapping
from typing import Any

from sanic import Blueprint, HTTPResponse, Request, Sanic

from service.errors import NotFound
from service.pages.own_path import own_path
from service.pages.render import Again, Pages
from service.web.http import forms, problems
from service.web.http.access import Access
from service.web.http.operation import Call, PageQuery, Reply, is_page, operation

log = logging.getLogger(__name__)

HEADINGS = {
    400: "That could not be read",
    403: "You may not do this",
    404: "There is nothing here",
    405: "That cannot be done here",
    409: "That did not work",
    413: "That is too much at once",
    422: "Something is not right yet",
    429: "A moment, please",
    503: "The shop is catching its breath",
}
SENTENCES = {
    404: "The page may have moved, or what it showed is no longer sold.",
    405: "This address is read in another way.",
    429: "You asked more often than we can answer.",
    500: "Something went wrong on our side. Try again in a moment.",
    503: "We cannot reach what we need right now. Try again in a moment.",
}
INTERNAL = "Something went wrong on our side"
NOT_OF_THE_FORM = frozenset({"unauthenticated", "csrf_failed", "forbidden", "internal"})


class ErrorPages:
    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def __call__(self, request: Request, response: HTTPResponse) -> None:
        """Puts the page into the place of the problem document, if that is what the caller reads."""
        problem = getattr(request.ctx, "problem", None)
        if problem is None or not getattr(request.ctx, "csp_nonce", "") or not _reads_pages(request, response):
            return
        shown = await self._shown(request, problem, response.headers.get("retry-after"))
        response.body, response.content_type = shown.body, shown.content_type

    async def _shown(self, request: Request, problem: Mapping[str, Any], retry_after: str | None) -> Reply:
        """The form that was refused, the sign-in, or a page of its own."""
        again: Again | None = getattr(request.ctx, "again", None)
        if again is not None and problem["code"] not in NOT_OF_THE_FORM:
            try:
                return await again(sentence(problem), int(problem["status"]))
            except Exception:  # the refusal itself must be shown, whatever its form cannot be made of
                log.exception("the form of %s cannot be shown again", request.path)
        if problem["status"] == 401:
            return self._sign_in(request)
        return self._page(request, problem, retry_after)

    def _sign_in(self, request: Request) -> Reply:
        back = request.path if request.method == "GET" else "/"
        return self._pages.page(request, "login.html", 401, next=own_path(back))

    def explained(self, request: Request, code: str, known: tuple[int, str]) -> Reply:
        status, title = known
        return self._pages.page(request, "problem_type.html", code=code, problem_status=status, title=title)

    def _page(self, request: Request, problem: Mapping[str, Any], retry_after: str | None) -> Reply:
        status = int(problem["status"])
        return self._pages.page(
            request,
            "error.html",
            status,
            heading=HEADINGS.get(status, "Something went wrong"),
            sentence=SENTENCES.get(status) or sentence(problem),
            retry_after=retry_after,
            request_id=problem["requestId"],
        )


def routes(error_pages: ErrorPages) -> Blueprint:
    """Problem types are addresses: each leads to what it means. Browsers are answered with pages from here on."""
    blueprint = Blueprint("errors")

    @blueprint.before_server_start
    async def mount(app: Sanic[Any, Any]) -> None:
        app.ctx.as_page = error_pages

    @operation(
        blueprint,
        "GET",
        "/problems/<code:str>",
        "What a problem's `type` means",
        takes=PageQuery,
        returns={200: None},
        access=Access.PUBLIC,
        limit="read",
        errors=(NotFound,),
    )
    async def problem_type(call: Call[PageQuery], code: str) -> Reply:
        known = known_problems()
        if code not in known:
            raise NotFound()
        return error_pages.explained(call.request, code, known[code])

    return blueprint


def known_problems() -> dict[str, tuple[int, str]]:
    """Status and title of every problem the service can answer with, by code."""
    found = {"internal": (500, INTERNAL)}
    waiting = list(problems.STATUS)
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.startswith("service."):
            found[kind.code] = (problems.status_of(kind), kind.title)
    return found


def _reads_pages(request: Request, response: HTTPResponse) -> bool:
    """A browser on a page's address, or a form. Whoever asks the API, or by a program, reads problem documents."""
    return is_page(request.path) and (response.content_type == problems.HTML or forms.is_form(request))


def sentence(problem: Mapping[str, Any]) -> str:
    """What a person can act on: each field's message, or else the detail."""
    shortages = [f"{each['sku']}: {each['available']} left" for each in problem.get("shortages", ())]
    if shortages:
        return f"Not enough stock – {', '.join(shortages)}"
    messages = [each["message"] for each in problem.get("errors", ()) if each["message"]]
    return " ".join(dict.fromkeys(messages)) or str(problem["detail"])
