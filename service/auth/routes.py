"""/api/auth"""

from dataclasses import dataclass

from sanic import Blueprint, Request

from service.auth import account_routes, second_factor_routes
from service.auth.models import (
    AccountDisabled,
    BadCode,
    BadCredentials,
    BadMailToken,
    BadRefreshToken,
    Device,
    EmailTaken,
    Issued,
    LoginLocked,
    SecondFactorRequired,
    SessionNotFound,
    TokenReused,
    TooManyMails,
    UserNotFound,
    WeakPassword,
    WrongPassword,
)
from service.auth.schemas import (
    ChangePasswordBody,
    CsrfReply,
    EndedReply,
    EndSessionsBody,
    ForgotBody,
    LoginBody,
    LoginsReply,
    RefreshBody,
    RegisterBody,
    ResetBody,
    SessionReply,
    UserReply,
    VerifyBody,
    login_view,
    session_reply,
    user_view,
)
from service.auth.usecases import Auth
from service.auth.wiring import AuthDomain
from service.config import Config
from service.email_address import parse_known_address
from service.web.http.access import Access
from service.web.http.client_address import ClientAddresses
from service.web.http.operation import Call, Nothing, Reply, operation
from service.web.http.shield import Shield
from service.web.security.cookies import Cookies, presented
from service.web.security.csrf import Csrf, CsrfFailed
from service.web.security.layers import Layers


@dataclass(frozen=True, slots=True)
class Front:
    """What the routes share: they parse, call and shape."""

    auth: Auth
    cookies: Cookies
    csrf: Csrf
    shield: Shield
    addresses: ClientAddresses
    config: Config

    def device(self, request: Request) -> Device:
        cookie = presented(request.cookies.getlist(self.cookies.names.device))
        return Device(self.addresses.of(request), request.headers.get("user-agent", ""), cookie or "")

    def logged_in(self, issued: Issued, status: int, *, with_tokens: bool = True) -> Reply:
        config = self.config
        jar = self.cookies.login(
            issued.access_token,
            config.access_token_ttl_seconds,
            issued.refresh_token,
            config.refresh_token_ttl_seconds,
        )
        if issued.device_cookie:
            jar += self.cookies.device(issued.device_cookie, config.device_cookie_ttl_seconds)
        return Reply(status, session_reply(issued, with_tokens=with_tokens), cookies=jar)

    def refresh_cookie(self, request: Request) -> str | None:
        return presented(request.cookies.getlist(self.cookies.names.refresh))

    def session_of(self, request: Request) -> str:
        """The session that the request's cookies speak of, alive or not; "" for none."""
        credential = request.ctx.credential
        if credential is not None and credential.claims is not None:
            return str(credential.claims.session_id)
        token = self.refresh_cookie(request)
        try:
            return self.auth.session_of(token) if token else ""
        except BadRefreshToken:
            return ""


def routes(domain: AuthDomain, layers: Layers, shield: Shield, config: Config) -> Blueprint:
    """Nothing here is compressed: the answers carry secrets."""
    blueprint = Blueprint("auth", url_prefix="/api/auth")
    front = Front(domain.auth, layers.cookies, layers.csrf, shield, layers.addresses, config)
    _logins(blueprint, front)
    _tokens(blueprint, front)
    _sessions(blueprint, front)
    _passwords(blueprint, front)
    _addresses(blueprint, front)
    account_routes.add(blueprint, domain, front.device)
    second_factor_routes.add(blueprint, domain, front.device, config)
    return blueprint


def _logins(blueprint: Blueprint, front: Front) -> None:
    @operation(
        blueprint,
        "POST",
        "/register",
        "Open an account; a mail to verify the address follows",
        takes=RegisterBody,
        returns={201: SessionReply},
        access=Access.PUBLIC,
        limit="register",
        errors=(EmailTaken, WeakPassword),
        compress=False,
    )
    async def register(call: Call[RegisterBody]) -> Reply:
        """Answers with the tokens of a first session and sets the same as HttpOnly cookies. The account can be used at
        once; a mail asks to verify the address."""
        taken = call.taken
        call.request.ctx.subject = front.auth.mark(taken.email)
        issued = await front.auth.register(taken.email, taken.password, taken.name, front.device(call.request))
        call.request.ctx.subject = issued.user.id
        return front.logged_in(issued, 201)

    @operation(
        blueprint,
        "POST",
        "/login",
        "Log in: tokens for clients, the same as HttpOnly cookies for browsers",
        takes=LoginBody,
        returns={200: SessionReply},
        access=Access.PUBLIC,
        limit="login",
        errors=(BadCredentials, LoginLocked, AccountDisabled, SecondFactorRequired, BadCode),
        compress=False,
    )
    async def login(call: Call[LoginBody]) -> Reply:
        """Clients take the tokens from the body, browsers the HttpOnly cookies. A wrong address and a wrong password
        are answered alike, and after a few failures with 429 and `Retry-After`. Where the account has a second factor
        and no `code` was sent: 401 `second_factor_required`."""
        call.request.ctx.subject = front.auth.mark(call.taken.email)
        taken = call.taken
        issued = await front.auth.login(taken.email, taken.password, front.device(call.request), taken.code)
        call.request.ctx.subject = issued.user.id
        return front.logged_in(issued, 200)

    @operation(
        blueprint,
        "POST",
        "/logout",
        "Log out: the session and its access tokens end at once",
        returns={204: None},
        access=Access.CUSTOMER,
        limit="account",
        compress=False,
    )
    async def logout(call: Call[Nothing]) -> Reply:
        """Ends the session of the credential that was sent, clears the cookies, and its access tokens stop working with
        the next request."""
        await front.auth.logout(call.user.user_id, call.user.session_id)
        return Reply(204, cookies=front.cookies.logout())


def _tokens(blueprint: Blueprint, front: Front) -> None:
    @operation(
        blueprint,
        "POST",
        "/refresh",
        "Exchange a refresh token, from the body or the cookie, for new tokens",
        takes=RefreshBody,
        returns={200: SessionReply},
        access=Access.PUBLIC,
        limit="refresh",
        errors=(BadRefreshToken, TokenReused, CsrfFailed),
        compress=False,
    )
    async def refresh(call: Call[RefreshBody]) -> Reply:
        """Works once; using it again ends the whole session. From the cookie, `X-CSRF-Token` is needed."""
        given = token = call.taken.refresh_token
        if token is None:
            token = front.refresh_cookie(call.request)
            if token is None:
                raise BadRefreshToken("Send refreshToken in the body, or log in again")
            front.csrf.check(call.request, front.auth.session_of(token))
        issued = await front.auth.refresh(token)
        call.request.ctx.subject = issued.user.id
        return front.logged_in(issued, 200, with_tokens=given is not None)

    @operation(
        blueprint,
        "GET",
        "/csrf",
        "A token for X-CSRF-Token, bound to the session of the cookies",
        returns={200: CsrfReply},
        access=Access.PUBLIC,
        compress=False,
    )
    async def csrf(call: Call[Nothing]) -> Reply:
        """Send it back as `X-CSRF-Token` with every unsafe request made under cookies. Ask again after a login or a
        refresh; bearer requests do not need it."""
        token = front.csrf.token(call.request, front.session_of(call.request))
        return Reply(200, CsrfReply(csrf_token=token), cookies=front.cookies.csrf(token))

    @operation(
        blueprint,
        "GET",
        "/me",
        "Who you are",
        returns={200: UserReply},
        access=Access.CUSTOMER,
        errors=(UserNotFound,),
        compress=False,
    )
    async def me(call: Call[Nothing]) -> Reply:
        """The account of the credential that was sent: a cheap way to see whether a session still lives."""
        return Reply(200, UserReply(user=user_view(await front.auth.get(call.user.user_id))))


def _sessions(blueprint: Blueprint, front: Front) -> None:
    @operation(
        blueprint,
        "GET",
        "/sessions",
        "Your logins, newest first",
        returns={200: LoginsReply},
        access=Access.CUSTOMER,
        compress=False,
    )
    async def sessions(call: Call[Nothing]) -> Reply:
        """Every login that is still alive, with the device it came from; `current` marks the one that asks."""
        found = await front.auth.sessions(call.user.user_id)
        return Reply(200, LoginsReply(items=[login_view(session, call.user.session_id) for session in found]))

    @operation(
        blueprint,
        "POST",
        "/sessions/end",
        "End one of your logins, or all but this one; asks for your password once more",
        takes=EndSessionsBody,
        returns={200: EndedReply},
        access=Access.CUSTOMER,
        limit="account",
        errors=(SessionNotFound, WrongPassword, LoginLocked),
        compress=False,
    )
    async def end_sessions(call: Call[EndSessionsBody]) -> Reply:
        """With `sessionId` that device has to log in again, without it all but this one; answers how many."""
        user, taken = call.user, call.taken
        await front.auth.confirm(user.user_id, taken.password, front.device(call.request))
        if taken.session_id is None:
            ended = await front.auth.end_other_sessions(user.user_id, user.session_id)
        else:
            ended = await front.auth.end_session(user.user_id, taken.session_id)
        return Reply(200, EndedReply(ended=ended))


def _passwords(blueprint: Blueprint, front: Front) -> None:
    @operation(
        blueprint,
        "POST",
        "/password/forgot",
        "Ask for a link to choose a new password; the answer never says whether the account exists",
        takes=ForgotBody,
        returns={202: None},
        access=Access.PUBLIC,
        limit="reset",
        compress=False,
    )
    async def forgot_password(call: Call[ForgotBody]) -> Reply:
        """202 always, after the same time. If there is such an account, a mail with a link goes out; the link works
        once and for an hour by default."""
        call.request.ctx.subject = front.auth.mark(call.taken.email)
        email = parse_known_address(call.taken.email)
        # Not awaited: the time would tell whether there is such an account.
        front.shield.start(front.auth.forgot_password(email, front.device(call.request)))
        return Reply(202)

    @operation(
        blueprint,
        "POST",
        "/password/reset",
        "Choose a new password with the mailed token; ends every session of that user",
        takes=ResetBody,
        returns={204: None},
        access=Access.PUBLIC,
        limit="reset",
        errors=(BadMailToken, WeakPassword),
        compress=False,
    )
    async def reset_password(call: Call[ResetBody]) -> Reply:
        """The token stands behind `#token=` in the mailed link. It works once, and every session of the account is
        ended."""
        await front.auth.reset_password(call.taken.token, call.taken.password, front.device(call.request))
        return Reply(204)

    @operation(
        blueprint,
        "POST",
        "/password/change",
        "Change your password; ends your other sessions",
        takes=ChangePasswordBody,
        returns={204: None},
        access=Access.CUSTOMER,
        limit="account",
        errors=(WrongPassword, WeakPassword, LoginLocked),
        compress=False,
    )
    async def change_password(call: Call[ChangePasswordBody]) -> Reply:
        """Needs the current password. The session that asks stays, all others are ended."""
        user, taken = call.user, call.taken
        await front.auth.change_password(
            user.user_id, user.session_id, taken.current_password, taken.new_password, front.device(call.request)
        )
        return Reply(204)


def _addresses(blueprint: Blueprint, front: Front) -> None:
    @operation(
        blueprint,
        "POST",
        "/email/verify",
        "Verify your e-mail address with the mailed token",
        takes=VerifyBody,
        returns={204: None},
        access=Access.PUBLIC,
        limit="reset",
        errors=(BadMailToken,),
        compress=False,
    )
    async def verify_email(call: Call[VerifyBody]) -> Reply:
        """The token stands behind `#token=` in the mailed link. Who sends it need not be logged in."""
        await front.auth.verify_email(call.taken.token)
        return Reply(204)

    @operation(
        blueprint,
        "POST",
        "/email/verification",
        "Ask for the verification mail again",
        returns={202: None},
        access=Access.CUSTOMER,
        limit="account",
        errors=(TooManyMails,),
        compress=False,
    )
    async def request_verification(call: Call[Nothing]) -> Reply:
        """Sends the mail once more, a few times an hour at most. 202 also if the address is verified already."""
        await front.auth.request_verification(call.user.user_id)
        return Reply(202)
