"""Who a user is, and the rules of accounts. Pure: no framework, no driver."""

from dataclasses import dataclass
from datetime import datetime

from service.errors import Conflict, Forbidden, Invalid, NotFound, TooMany, Unauthenticated


class EmailTaken(Conflict):
    code, title = "email_taken", "This e-mail address already has an account"


class BadCredentials(Unauthenticated):
    code, title = "bad_credentials", "E-mail address or password is wrong"


class LoginLocked(TooMany):
    """Says the same for accounts that exist and that do not."""

    code, title = "login_locked", "Too many failed logins; wait before the next one"


class TokenReused(Unauthenticated):
    """A refresh token came twice: it may be stolen, so the whole session is ended."""

    code, title = "token_reused", "This refresh token was already used; log in again"


class BadRefreshToken(Unauthenticated):
    code, title = "bad_refresh_token", "The refresh token is not valid, or its session has ended"


class BadMailToken(Invalid):
    """From a mail: reset or verification."""

    code, title = "bad_token", "The link is not valid, was used, or has expired"


class WrongPassword(Forbidden):
    code, title = "wrong_password", "The current password is wrong"


class WeakPassword(Invalid):
    code, title = "weak_password", "Choose a password that is harder to guess"


class UserNotFound(NotFound):
    code, title = "user_not_found", "There is no such user"


class SessionNotFound(NotFound):
    code, title = "session_not_found", "You have no such session"


class LastAdmin(Conflict):
    code, title = "last_admin", "The last admin stays admin"


class TooManyMails(TooMany):
    code, title = "too_many_mails", "Enough mails were sent to this address; wait before the next one"


@dataclass(frozen=True, slots=True)
class User:
    id: str
    email: str
    name: str
    role: str
    password_hash: str
    created_at: datetime
    password_changed_at: datetime
    email_verified: bool = False


@dataclass(frozen=True, slots=True)
class NewUser:
    email: str
    name: str
    role: str = "customer"


@dataclass(frozen=True, slots=True)
class Device:
    """Where a login came from, for its owner to recognize."""

    address: str
    agent: str


@dataclass(frozen=True, slots=True)
class Session:
    """A login and everything refreshed from it. `generation` counts its refresh tokens."""

    id: str
    user_id: str
    role: str
    generation: int
    created_at: datetime
    refreshed_at: datetime
    device: Device


@dataclass(frozen=True, slots=True)
class Issued:
    """What a login or a refresh hands out."""

    user: User
    session_id: str
    access_token: str
    refresh_token: str
    expires_in_seconds: int


@dataclass(frozen=True, slots=True)
class LockRule:
    """After `free` failures each further one doubles the wait before the next attempt, up to a maximum."""

    free: int
    delay_seconds: float
    delay_max_seconds: float


def check_password(password: str, email: str, name: str) -> None:
    """Length is the schema's; this refuses what everybody would try first (ASVS 6.2.11). Raises WeakPassword."""
    plain = password.casefold()
    local = email.partition("@")[0].casefold()
    if plain in {email.casefold(), local, name.casefold()} or len(set(plain)) < 3:
        raise WeakPassword(errors=[{"path": "password", "message": "Too easy to guess for this account"}])
