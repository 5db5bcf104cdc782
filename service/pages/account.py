"""Accounts for people: sign in, register, and the pages that mails lead to. Their forms work without a script."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sanic import Blueprint, Request

from service.auth.models import BadMailToken
from service.cart.models import CartFull, Owner
from service.cart.usecases import Carts
from service.errors import Invalid
from service.pages.api import Api, see_other
from service.pages.own_path import own_path
from service.pages.render import Pages
from service.web.http.access import Access
from service.web.http.operation import Call, Form, PageQuery, Reply, operation
from service.web.security.guest import Guests

PAGE, SEE_OTHER = {200: None}, {303: None}


class LoginQuery(PageQuery):
    next: str = ""


class LoginForm(Form):
    email: str = ""
    password: str = ""
    code: str = ""
    name: str = ""
    next: str = ""


class TokenForm(Form):
    """`token` as it stands in the mail: the code, or the whole link."""

    token: str = ""
    password: str = ""

    def code(self) -> str:
        return self.token.rpartition("token=")[2].strip()


class EmailForm(Form):
    email: str = ""


@contextmanager
def of_a_mail() -> Iterator[None]:
    """Text that cannot even be a code was not copied whole: people are told about the link, not about its length."""
    try:
        yield
    except Invalid as refusal:
        if refusal.extra["errors"][0]["path"] == "token":
            raise BadMailToken() from None
        raise


@dataclass(frozen=True, slots=True)
class Account:
    pages: Pages
    api: Api
    carts: Carts
    guests: Guests

    def again(self, call: Call[Any], template: str, **values: Any) -> None:
        """A refusal shows the form again, with the reason."""
        request = call.request

        async def shown(error: str, status: int) -> Reply:
            return self.pages.page(request, template, status, error=error, **values)

        request.ctx.again = shown

    async def entered(self, request: Request, reply: Reply, back: str) -> Reply:
        """Signed in: the guest's cart comes along, and the page that was left is shown again."""
        answer = see_other(own_path(back), reply)
        guest_id = self.guests.read(request)
        if guest_id is None:
            return answer
        try:
            await self.carts.merge(Owner.visitor(guest_id), Owner.user(reply.body.user.id))
        except CartFull:  # it keeps its cookie; being signed in matters more
            return answer
        answer.cookies.append(self.guests.forget())
        return answer


def routes(account: Account) -> Blueprint:
    blueprint = Blueprint("account_pages")
    _entering(blueprint, account)
    _leaving(blueprint, account)
    _verifying(blueprint, account)
    _resetting(blueprint, account)
    return blueprint


def _entering(blueprint: Blueprint, account: Account) -> None:
    @operation(
        blueprint,
        "GET",
        "/login",
        "Sign in or register",
        takes=LoginQuery,
        returns=PAGE,
        access=Access.PUBLIC,
        limit="read",
    )
    async def login_page(call: Call[LoginQuery]) -> Reply:
        back = own_path(call.taken.next)
        if call.caller is not None:
            return see_other(back)
        return account.pages.page(call.request, "login.html", next=back)

    @operation(
        blueprint,
        "POST",
        "/login",
        "Sign in by form",
        takes=LoginForm,
        returns=SEE_OTHER,
        access=Access.PUBLIC,
        limit="login",
        compress=False,
    )
    async def login(call: Call[LoginForm]) -> Reply:
        taken = call.taken
        account.again(call, "login.html", email=taken.email, next=own_path(taken.next))
        given = {"email": taken.email, "password": taken.password, "code": taken.code or None}
        reply = await account.api.call(call.request, "POST /api/auth/login", given)
        return await account.entered(call.request, reply, taken.next)

    @operation(
        blueprint,
        "POST",
        "/register",
        "Open an account by form",
        takes=LoginForm,
        returns=SEE_OTHER,
        access=Access.PUBLIC,
        limit="register",
        compress=False,
    )
    async def register(call: Call[LoginForm]) -> Reply:
        taken = call.taken
        account.again(call, "login.html", new_email=taken.email, new_name=taken.name, next=own_path(taken.next))
        given = {"email": taken.email, "password": taken.password, "name": taken.name}
        reply = await account.api.call(call.request, "POST /api/auth/register", given)
        return await account.entered(call.request, reply, taken.next)


def _leaving(blueprint: Blueprint, account: Account) -> None:
    @operation(
        blueprint,
        "POST",
        "/logout",
        "Sign out by form",
        takes=Form,
        returns=SEE_OTHER,
        access=Access.CUSTOMER,
        compress=False,
    )
    async def logout(call: Call[Form]) -> Reply:
        return see_other("/", await account.api.call(call.request, "POST /api/auth/logout"))


def _verifying(blueprint: Blueprint, account: Account) -> None:
    @operation(
        blueprint,
        "GET",
        "/account/verify",
        "Where the mail that verifies an address leads",
        takes=PageQuery,
        returns=PAGE,
        access=Access.PUBLIC,
        limit="read",
    )
    async def verify_page(call: Call[PageQuery]) -> Reply:
        return account.pages.page(call.request, "verify.html")

    @operation(
        blueprint,
        "POST",
        "/account/verify",
        "Verify an address by form",
        takes=TokenForm,
        returns=SEE_OTHER,
        access=Access.PUBLIC,
        limit="reset",
        compress=False,
    )
    async def verify(call: Call[TokenForm]) -> Reply:
        account.again(call, "verify.html")
        with of_a_mail():
            await account.api.call(call.request, "POST /api/auth/email/verify", {"token": call.taken.code()})
        return see_other("/", said="verified")


def _resetting(blueprint: Blueprint, account: Account) -> None:
    @operation(
        blueprint,
        "GET",
        "/account/forgot",
        "Ask for a new password",
        takes=PageQuery,
        returns=PAGE,
        access=Access.PUBLIC,
        limit="read",
    )
    async def forgot_page(call: Call[PageQuery]) -> Reply:
        return account.pages.page(call.request, "forgot.html")

    @operation(
        blueprint,
        "POST",
        "/account/forgot",
        "Ask for a new password by form",
        takes=EmailForm,
        returns=SEE_OTHER,
        access=Access.PUBLIC,
        limit="reset",
        compress=False,
    )
    async def forgot(call: Call[EmailForm]) -> Reply:
        account.again(call, "forgot.html", email=call.taken.email)
        await account.api.call(call.request, "POST /api/auth/password/forgot", {"email": call.taken.email})
        return see_other("/account/forgot", said="mailed")

    @operation(
        blueprint,
        "GET",
        "/account/reset",
        "Where the mail for a new password leads",
        takes=PageQuery,
        returns=PAGE,
        access=Access.PUBLIC,
        limit="read",
    )
    async def reset_page(call: Call[PageQuery]) -> Reply:
        return account.pages.page(call.request, "reset.html", token="")  # nosec B106 - no token is known before the form is sent

    @operation(
        blueprint,
        "POST",
        "/account/reset",
        "Choose a new password by form",
        takes=TokenForm,
        returns=SEE_OTHER,
        access=Access.PUBLIC,
        limit="reset",
        compress=False,
    )
    async def reset(call: Call[TokenForm]) -> Reply:
        token = call.taken.code()
        account.again(call, "reset.html", token=token)
        given = {"token": token, "password": call.taken.password}
        with of_a_mail():
            await account.api.call(call.request, "POST /api/auth/password/reset", given)
        return see_other("/login", said="reset")
