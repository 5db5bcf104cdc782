"""Accounts on the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from service.auth.models import Issued, Session, User
from service.web.http.operation import HIDDEN, Wire

NAME_PATTERN = rf"^[^\x00-\x1f{HIDDEN}<>]*[^\x00-\x20{HIDDEN}<>][^\x00-\x1f{HIDDEN}<>]*(?![\s\S])"
# What it must be is `email_address`'s to say, for every entrance; blanks around it are forgiven.
Email = Annotated[
    str, msgspec.Meta(max_length=320, examples=["ada@example.com"], extra_json_schema={"format": "email"})
]
NewPassword = Annotated[str, msgspec.Meta(min_length=8, max_length=256, examples=["correct horse battery staple"])]
Password = Annotated[str, msgspec.Meta(min_length=1, max_length=256, examples=["correct horse battery staple"])]
Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN, max_length=100, examples=["Ada Lovelace"])]
LinkToken = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{43}(?![\s\S])")]
Role = Literal["customer", "staff", "admin"]


class RegisterBody(Wire):
    email: Email
    password: NewPassword
    name: Name


Code = Annotated[str, msgspec.Meta(min_length=6, max_length=40, examples=["123456"])]


class LoginBody(Wire):
    """`code`: where the account has a second factor, what the app shows, or a recovery code."""

    email: Email
    password: Password
    code: Code | None = None


class RefreshBody(Wire):
    """The token, or nothing when the refresh cookie carries it."""

    refresh_token: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None


class ForgotBody(Wire):
    email: Email


class ResetBody(Wire):
    token: LinkToken
    password: NewPassword


class ChangePasswordBody(Wire):
    current_password: Password
    new_password: NewPassword


class VerifyBody(Wire):
    token: LinkToken


class UserChangeBody(Wire):
    """At least one of the two. Nobody logs in to a disabled account."""

    role: Role | None = None
    disabled: bool | None = None


class PasswordBody(Wire):
    """Your password, once more."""

    password: Password


class CodeBody(Wire):
    code: Code


class PasswordAndCodeBody(Wire):
    """Your password once more, and what the app shows or a recovery code."""

    password: Password
    code: Code


class UsersQuery(Wire):
    """`email` finds one account whatever the case of its letters; without it, accounts are listed newest first."""

    email: Email | None = None
    role: Role | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 24
    cursor: Annotated[str, msgspec.Meta(max_length=200)] | None = None


class UserView(Wire):
    id: str
    email: str
    name: str
    role: Role
    email_verified: bool
    disabled: bool
    second_factor: bool
    created_at: datetime


class UserReply(Wire):
    user: UserView


class UsersReply(Wire):
    items: list[UserView]
    next_cursor: str | None


class SessionReply(Wire):
    """`expiresIn` is the life of the access token in seconds. A browser that refreshes by its cookie is given the new
    tokens as cookies alone, where no script of a page can read them."""

    user: UserView
    expires_in: int
    access_token: str | msgspec.UnsetType = msgspec.UNSET
    refresh_token: str | msgspec.UnsetType = msgspec.UNSET


class CsrfReply(Wire):
    csrf_token: str


class LoginView(Wire):
    id: str
    current: bool
    created_at: datetime
    refreshed_at: datetime
    address: str
    agent: str


class LoginsReply(Wire):
    items: list[LoginView]


class SecondFactorReply(Wire):
    """`required`: your role may do nothing of its own before there is one."""

    enabled: bool
    required: bool
    recovery_codes_left: int


class EnrolmentReply(Wire):
    """Shown once. `uri` is what an app reads as a QR code."""

    secret: str
    uri: str
    recovery_codes: list[str]


class RecoveryCodesReply(Wire):
    """Shown once; each works once."""

    recovery_codes: list[str]


class ExportReply(Wire):
    """`records`: by kind, such as `orders`."""

    account: UserView
    sessions: list[LoginView]
    records: dict[str, list[dict[str, Any]]]


class EndSessionsBody(Wire):
    """Without `sessionId`, all your logins but this one."""

    password: Password
    session_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None


class EndedReply(Wire):
    ended: int


def user_view(user: User) -> UserView:
    return UserView(
        id=user.id,
        email=user.email,
        name=user.name,
        role=user.role,  # type: ignore[arg-type]
        email_verified=user.email_verified,
        disabled=user.disabled,
        second_factor=user.second_factor,
        created_at=user.created_at,
    )


def session_reply(issued: Issued, *, with_tokens: bool) -> SessionReply:
    if not with_tokens:
        return SessionReply(user=user_view(issued.user), expires_in=issued.expires_in_seconds)
    return SessionReply(
        user=user_view(issued.user),
        access_token=issued.access_token,
        refresh_token=issued.refresh_token,
        expires_in=issued.expires_in_seconds,
    )


def login_view(session: Session, current: str) -> LoginView:
    return LoginView(
        id=session.id,
        current=session.id == current,
        created_at=session.created_at,
        refreshed_at=session.refreshed_at,
        address=session.device.address,
        agent=session.device.agent,
    )
