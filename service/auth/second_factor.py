"""The second factor of a login: a time-based one-time password (TOTP, RFC 6238) of an app, or a recovery code.

Guesses are counted for the account alone, wherever they come from: only who knows the password gets to make them."""

import base64
import hmac
from collections.abc import Iterator
from datetime import datetime

import pyotp
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from service.auth.attempts import LoginAttempts
from service.auth.models import (
    BadCode,
    Device,
    Enrolment,
    LoginLocked,
    NoSecondFactor,
    SecondFactorExists,
    SecondFactorRequired,
    User,
    normal_code,
)
from service.auth.second_factor_repository import Confirmation, SecondFactorRepository, StoredFactor
from service.clock import Clock
from service.config import Config
from service.ids import Ids
from service.infra.mongo.client import Session

ISSUER = "Holdfast"
SECRET_BYTES = 20  # RFC 4226: as long as the hash
RECOVERY_CODES, RECOVERY_BYTES = 10, 15  # 120 bits, so that a plain keyed hash is enough (ASVS 6.5.2)
ANYWHERE = Device("anywhere", "")
STEPS = (0, -1, 1)  # now, and what a clock that is half a minute off shows


class SecondFactors:
    def __init__(
        self, factors: SecondFactorRepository, attempts: LoginAttempts, clock: Clock, ids: Ids, config: Config
    ) -> None:
        self._factors, self._attempts, self._clock, self._ids = factors, attempts, clock, ids
        self._seal = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in config.keys("second factor")])
        self._recovery_keys, self._mark_key = config.keys("recovery code"), config.key("second factor attempts")

    async def enrol(self, user: User) -> Enrolment:
        """A secret and recovery codes, which nobody is shown again; they count once a code has confirmed them. Raises
        SecondFactorExists."""
        secret = base64.b32encode(self._random(SECRET_BYTES)).decode()
        codes = self._new_codes()
        factor = StoredFactor(self._sealed(user.id, secret), tuple(map(self._hash, codes)))
        if not await self._factors.propose(user.id, factor):
            raise SecondFactorExists()
        return Enrolment(secret, pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=ISSUER), codes)

    async def checked(self, user_id: str, code: str, session_id: str) -> Confirmation:
        """What `confirm` makes good: the first code was right. Raises NoSecondFactor, BadCode, LoginLocked."""
        await self._begin_attempt(user_id)
        proposed = await self._factors.proposed(user_id)
        if proposed is None:
            raise NoSecondFactor()
        step = self._step_of(user_id, proposed, normal_code(code))
        if step is None:
            raise BadCode()
        await self._attempts.succeeded(self._mark(user_id), ANYWHERE)
        return Confirmation(proposed, step, self._ids.secret()[:32], session_id)

    async def confirm(self, user_id: str, checked: Confirmation, session: Session) -> None:
        """From now on logins need it. Raises BadCode if another one was proposed or confirmed meanwhile."""
        if not await self._factors.confirm(user_id, checked, self._clock.now(), session):
            raise BadCode()

    async def check(self, user: User, code: str | None) -> None:
        """Passes whoever has no second factor. A code works once. Raises SecondFactorRequired, BadCode, LoginLocked."""
        if not user.second_factor:
            return
        if not code:
            raise SecondFactorRequired()
        await self._begin_attempt(user.id)
        if not await self._takes(user.id, normal_code(code)):
            raise BadCode()
        await self._attempts.succeeded(self._mark(user.id), ANYWHERE)

    async def renew_recovery_codes(self, user: User) -> tuple[str, ...]:
        """The old ones are worth nothing any more. Raises NoSecondFactor."""
        codes = self._new_codes()
        if not await self._factors.set_recovery(user.id, [self._hash(code) for code in codes]):
            raise NoSecondFactor()
        return codes

    async def recovery_codes_left(self, user_id: str) -> int:
        factor = await self._factors.confirmed(user_id)
        return 0 if factor is None else len(factor.recovery)

    async def remove(self, user_id: str, session: Session) -> None:
        await self._factors.remove(user_id, session)

    async def forget(self, user_id: str) -> None:
        """The attempts that were made."""
        await self._attempts.forget(self._mark(user_id))

    async def _begin_attempt(self, user_id: str) -> None:
        wait_seconds = await self._attempts.begin(self._mark(user_id), ANYWHERE)
        if wait_seconds:
            raise LoginLocked(retry_after_seconds=int(wait_seconds) + 1)

    async def _takes(self, user_id: str, code: str) -> bool:
        """Uses the code up, in the write that finds it unused: of two at once only one gets in."""
        factor = await self._factors.confirmed(user_id)
        if factor is None:
            return False
        step = self._step_of(user_id, factor, code)
        if step is None:
            return await self._factors.take_recovery(user_id, [_mac(key, code) for key in self._recovery_keys])
        return await self._factors.take_step(user_id, step, self._seal.rotate(factor.sealed.encode()).decode())

    def _step_of(self, user_id: str, factor: StoredFactor, code: str) -> int | None:
        """The half minute whose code this is."""
        secret = self._opened(user_id, factor.sealed)
        found = (step for step, each in _codes(secret, self._clock.now()) if hmac.compare_digest(each, code))
        return next(found, None)

    def _sealed(self, user_id: str, secret: str) -> str:
        """Bound to its user: copied to another account it is worth nothing."""
        return self._seal.encrypt(f"{user_id}:{secret}".encode()).decode()

    def _opened(self, user_id: str, sealed: str) -> str:
        """ "" for what was sealed by nobody, or by a key that is gone."""
        try:
            owner, _, secret = self._seal.decrypt(sealed.encode()).decode().rpartition(":")
        except InvalidToken:
            return ""
        return secret if owner == user_id else ""

    def _new_codes(self) -> tuple[str, ...]:
        return tuple(_recovery_code(self._random(RECOVERY_BYTES)) for _ in range(RECOVERY_CODES))

    def _random(self, count: int) -> bytes:
        return bytes.fromhex(self._ids.secret())[:count]

    def _hash(self, code: str) -> str:
        return _mac(self._recovery_keys[0], normal_code(code))

    def _mark(self, user_id: str) -> str:
        return hmac.new(self._mark_key, user_id.encode(), "sha256").hexdigest()


def _codes(secret: str, now: datetime) -> Iterator[tuple[int, str]]:
    if secret:
        totp = pyotp.TOTP(secret)
        current = totp.timecode(now)
        yield from ((current + off, totp.generate_otp(current + off)) for off in STEPS)


def _recovery_code(raw: bytes) -> str:
    letters = base64.b32encode(raw).decode()
    return "-".join(letters[at : at + 4] for at in range(0, len(letters), 4))


def _mac(key: bytes, code: str) -> str:
    return hmac.digest(key, code.encode(), "sha256").hex()
