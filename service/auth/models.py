"""Who a user is, and the rules of accounts. Pure: no framework, no driver."""

import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from service.clock import Clock
from service.errors import Conflict, Forbidden, Invalid, NotFound, TooMany, Unauthenticated
from service.ids import Ids

PASSWORD_LENGTH_MIN = 8
GUESSES_MIN = 1e6  # below that, guessing at the door of a shop that slows guessers down is worth trying
GUESSED_LENGTH = 32  # the time it takes grows with the square of the length
TOO_SHORT = f"Choose a password of at least {PASSWORD_LENGTH_MIN} characters"
EASY_TO_GUESS = "Too easy to guess: choose a longer one, or words that do not belong together"


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


class AccountDisabled(Forbidden):
    """Said only to who has given the right password."""

    code, title = "account_disabled", "This account is closed"


class SecondFactorRequired(Unauthenticated):
    """Said only to who has given the right password."""

    code, title = "second_factor_required", "Send the code of your app, or a recovery code, as well"


class BadCode(Unauthenticated):
    code, title = "bad_code", "The code is wrong, was used, or is too old"


class SecondFactorExists(Conflict):
    code, title = "second_factor_exists", "The account has a second factor; remove it before you set up another"


class NoSecondFactor(Conflict):
    code, title = "no_second_factor", "The account has no second factor, or none was begun"


class ApiKeyNotFound(NotFound):
    code, title = "api_key_not_found", "There is no such API key"


class TooManyApiKeys(Conflict):
    code, title = "too_many_api_keys", "There are as many API keys as there may be; revoke one first"


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
    disabled: bool = False
    second_factor: bool = False
    factor_id: str = ""  # of the second factor; "" also for one from before they had ids
    factor_session: str = ""  # the login that confirmed it


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Shown once. `uri`: what an app reads as a QR code."""

    secret: str
    uri: str
    recovery_codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewUser:
    email: str
    name: str
    role: str = "customer"


def new_user(ids: Ids, clock: Clock, user: NewUser, hashed: str, *, verified: bool = False) -> User:
    now = clock.now()
    return User(ids.new(), user.email, user.name, user.role, hashed, now, now, verified)


@dataclass(frozen=True, slots=True)
class Device:
    """Where a login came from, for its owner to recognize. `cookie`: what an earlier login left there, if any."""

    address: str
    agent: str
    cookie: str = ""


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
    factor_id: str = ""  # of the second factor that it gave a code of


@dataclass(frozen=True, slots=True)
class Issued:
    """What a login or a refresh hands out."""

    user: User
    session_id: str
    access_token: str
    refresh_token: str
    expires_in_seconds: int
    device_cookie: str = ""


@dataclass(frozen=True, slots=True)
class KeySecret:
    """`digest`: the hash of a secret that was shown once. `ends_at`: of one that was replaced."""

    digest: str
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The credential of a service. The last of `secrets` is the newest; after a rotation the one before it lives on for
    a while. `last_used_at` is right to the minute."""

    id: str
    name: str
    scopes: tuple[str, ...]
    secrets: tuple[KeySecret, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    last_used_at: datetime | None = None

    def end_of(self, digest: str) -> datetime | None:
        """When that secret stops working: the sooner of the key's end and its own. Raises KeyError for another one."""
        own = {secret.digest: secret.ends_at for secret in self.secrets}[digest]
        return min((end for end in (own, self.expires_at) if end is not None), default=None)

    def rotated(self, digest: str, old_ends_at: datetime) -> tuple[KeySecret, ...]:
        """Two secrets live at most: what an earlier rotation left behind ends."""
        replaced = self.secrets[-1]
        return KeySecret(replaced.digest, old_ends_at), KeySecret(digest)


@dataclass(frozen=True, slots=True)
class LockRule:
    """After `free` failures each further one doubles the wait before the next attempt, up to a maximum."""

    free: int
    delay_seconds: float
    delay_max_seconds: float


def granted_role(user: User, needing: Collection[str]) -> str:
    """What a session of the user may do: a role that needs a second factor is worth nothing without one."""
    return "customer" if user.role in needing and not user.second_factor else user.role


def gave_second_factor(user: User, session_id: str, factor_id: str) -> bool:
    """Whether a login was made with the second factor of its account, or confirmed it. The account's committed record
    decides: a login that gave a password alone ends, also if nobody could end it when the factor was confirmed."""
    return user.factor_id in {"", factor_id} or session_id == user.factor_session


def normal_code(code: str) -> str:
    """As people copy it: in any case, with blanks and dashes."""
    return "".join(code.split()).replace("-", "").upper()


def composed(password: str) -> str:
    """NFC: what was typed on one keyboard is the same on another."""
    return unicodedata.normalize("NFC", password)


def check_password(password: str, email: str, name: str) -> None:
    """Refuses what is too short, what everybody would try first (ASVS 6.2.4) and what follows from the account itself
    (6.2.11). Takes some hundredths of a second. Raises WeakPassword."""
    chosen = composed(password)
    if len(chosen) < PASSWORD_LENGTH_MIN:
        raise WeakPassword(TOO_SHORT, errors=[{"path": "password", "message": TOO_SHORT}])
    own = {email, email.partition("@")[0], name, *name.split()}
    if all(_guesses(part, own) < GUESSES_MIN for part in (chosen[:GUESSED_LENGTH], chosen[-GUESSED_LENGTH:])):
        raise WeakPassword(errors=[{"path": "password", "message": EASY_TO_GUESS}])


def _guesses(password: str, own: Iterable[str]) -> float:
    """How many an attacker needs who knows the commonest passwords, words and keyboards, and these words."""
    from zxcvbn import zxcvbn  # a fifth of a second and its word lists, for whoever sets a password

    return float(zxcvbn(password, user_inputs=[word for word in own if word])["guesses"])
