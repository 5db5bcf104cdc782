"""The second factor for people: set up with an app, confirmed, removed; new recovery codes. No script needed."""

from functools import partial
from typing import Any

import segno
from markupsafe import Markup
from sanic import Blueprint

from service.pages.account import Account
from service.pages.api import see_other
from service.web.http.access import Access
from service.web.http.operation import Call, Form, PageQuery, Reply, operation

PATH, API = "/account/second-factor", "/api/auth/second-factor"
PAGE, SEE_OTHER, TEMPLATE = {200: None}, {303: None}, "second_factor.html"


class FactorForm(Form):
    password: str = ""
    code: str = ""


def routes(account: Account) -> Blueprint:
    blueprint = Blueprint("second_factor_pages")
    _seeing(blueprint, account)
    _changing(blueprint, account)
    return blueprint


def _seeing(blueprint: Blueprint, account: Account) -> None:
    @operation(
        blueprint,
        "GET",
        PATH,
        "The second factor of your account",
        takes=PageQuery,
        returns=PAGE,
        access=Access.CUSTOMER,
        limit="read",
        compress=False,
    )
    async def second_factor_page(call: Call[PageQuery]) -> Reply:
        return await _shown(account, call)


def _changing(blueprint: Blueprint, account: Account) -> None:
    declare = partial(
        operation,
        blueprint,
        "POST",
        takes=FactorForm,
        access=Access.CUSTOMER,
        limit="account",
        compress=False,
    )

    @declare(PATH, "Begin a second factor by form", returns=PAGE)
    async def begin(call: Call[FactorForm]) -> Reply:
        _again(account, call)
        made = (await account.api.call(call.request, f"POST {API}", {"password": call.taken.password})).body
        picture = Markup(segno.make(made.uri).svg_inline(scale=5, border=4, light="white"))  # nosec B704 - drawn by segno
        return await _shown(account, call, enrolment=made, picture=picture, codes=made.recovery_codes)

    @declare(f"{PATH}/confirm", "Confirm a second factor by form", returns=SEE_OTHER)
    async def confirm(call: Call[FactorForm]) -> Reply:
        _again(account, call, confirming=True)
        await account.api.call(call.request, f"POST {API}/confirm", {"code": call.taken.code})
        return see_other(PATH, said="protected")

    @declare(f"{PATH}/recovery-codes", "Make new recovery codes by form", returns=PAGE)
    async def renew(call: Call[FactorForm]) -> Reply:
        _again(account, call)
        made = (await account.api.call(call.request, f"POST {API}/recovery-codes", _both(call))).body
        return await _shown(account, call, codes=made.recovery_codes)

    @declare(f"{PATH}/remove", "Remove a second factor by form", returns=SEE_OTHER)
    async def remove(call: Call[FactorForm]) -> Reply:
        _again(account, call)
        await account.api.call(call.request, f"POST {API}/remove", _both(call))
        return see_other(PATH, said="unprotected")


def _both(call: Call[FactorForm]) -> dict[str, str]:
    return {"password": call.taken.password, "code": call.taken.code}


def _again(account: Account, call: Call[Any], **values: Any) -> None:
    """A refusal shows the page again, with the reason."""

    async def shown(error: str, status: int) -> Reply:
        return await _shown(account, call, status, error=error, **values)

    call.request.ctx.again = shown


async def _shown(account: Account, call: Call[Any], status: int = 200, **values: Any) -> Reply:
    state = (await account.api.call(call.request, f"GET {API}")).body
    given = {"state": state, "enrolment": None, "picture": "", "codes": [], "confirming": False, **values}
    return account.pages.page(call.request, TEMPLATE, status, **given)
