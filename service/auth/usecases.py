"""What can be done with accounts and logins."""

import hmac
from dataclasses import replace
from typing import NamedTuple

from service.auth.attempts import LoginAttempts
from service.auth.hash_queue import Asker
from service.auth.mails import Mails, digest
from service.auth.models import (
    AccountDisabled,
    BadCredentials,
    BadMailToken,
    BadRefreshToken,
    Device,
    Issued,
    LoginLocked,
    NewUser,
    Session,
    SessionNotFound,
    TokenReused,
    TooManyMails,
    User,
    UserNotFound,
    WrongPassword,
    gave_second_factor,
    granted_role,
    new_user,
)
from service.auth.passwords import Passwords
from service.auth.repository import UserRepository
from service.auth.second_factor import SecondFactors
from service.auth.sessions import SessionStore
from service.auth.tokens import Tokens
from service.email_address import parse_address, parse_known_address
from service.runtime import Runtime


class LoginChecks(NamedTuple):
    """What a login must pass: how often it may be tried, the password, and a second factor where there is one."""

    attempts: LoginAttempts
    passwords: Passwords
    factors: SecondFactors


class Auth:
    def __init__(
        self,
        users: UserRepository,
        sessions: SessionStore,
        checks: LoginChecks,
        tokens: Tokens,
        mails: Mails,
        runtime: Runtime,
    ) -> None:
        self._users, self._sessions, self._tokens, self._mails = users, sessions, tokens, mails
        self._attempts, self._passwords, self._factors = checks
        self._clock, self._ids, self._config = runtime.clock, runtime.ids, runtime.config
        self._mark_key = runtime.config.key("account")

    async def register(self, email: str, password: str, name: str, device: Device) -> Issued:
        """Raises BadAddress, EmailTaken, WeakPassword."""
        address = parse_address(email)
        hashed = await self._passwords.new(password, address, name, Asker(device.address))
        user = new_user(self._ids, self._clock, NewUser(address, name), hashed)
        await self._mails.register(user)
        return await self._let_in(user, device)

    async def login(self, email: str, password: str, device: Device, code: str | None = None) -> Issued:
        """Raises BadCredentials, or LoginLocked: both the same for accounts that do not exist. To who knows the
        password: AccountDisabled, SecondFactorRequired, BadCode."""
        address = parse_known_address(email)
        asker = await self._begin_attempt(address, device)
        user = await self._users.by_email(address)
        match = await self._passwords.check(password, user.password_hash if user else None, asker)
        if not match.ok or user is None:
            raise BadCredentials()
        if user.disabled:
            raise AccountDisabled()
        await self._factors.check(user, code)
        if not match.current:
            await self._users.renew_hash(user, await self._passwords.hash(password, asker))
        return await self._let_in(user, device)

    async def _begin_attempt(self, email: str, device: Device) -> Asker:
        """Counts it. Raises LoginLocked."""
        account = self.mark(email)
        wait_seconds = await self._attempts.begin(account, device)
        if wait_seconds:
            raise LoginLocked(retry_after_seconds=int(wait_seconds) + 1)
        return Asker(device.address, await self._attempts.knows(account, device))

    async def _let_in(self, user: User, device: Device) -> Issued:
        """Opens a session; the device, and its address, are known from now on."""
        cookie = await self._attempts.succeeded(self.mark(user.email), device)
        return replace(await self._open_session(user, device), device_cookie=cookie)

    async def _open_session(self, user: User, device: Device) -> Issued:
        now = self._clock.now()
        session = Session(self._ids.secret()[:32], user.id, self._role(user), 1, now, now, device, user.factor_id)
        await self._sessions.open(session)
        await self._check_unchanged(user, session)
        return self._issued(user, session.id, 1)

    async def _check_unchanged(self, user: User, session: Session) -> None:
        """A password or a role that changed during the login has not seen this session, so it must not stay."""
        current = await self._users.get(user.id)
        if current is None or _state(current) != _state(user):
            await self._sessions.end(user.id, session.id)
            raise BadCredentials("The account changed during the login; try again")

    async def refresh(self, refresh_token: str) -> Issued:
        """Rotates the token. Raises BadRefreshToken, or TokenReused, which has ended the session."""
        session_id, generation = self._tokens.read_refresh(refresh_token)
        rotation = await self._sessions.rotate(session_id, generation)
        if rotation.outcome == "reused":
            raise TokenReused()
        user = await self._users.get(rotation.user_id) if rotation.outcome == "rotated" else None
        if user is None or user.disabled:
            raise BadRefreshToken()
        if not gave_second_factor(user, session_id, rotation.factor_id):
            await self._sessions.end(user.id, session_id)
            raise BadRefreshToken()
        if self._role(user) != rotation.role:
            await self._sessions.change_role(user.id, self._role(user))
        return self._issued(user, session_id, rotation.generation)

    def session_of(self, refresh_token: str) -> str:
        """The session a refresh token belongs to, alive or not. Raises BadRefreshToken."""
        return self._tokens.read_refresh(refresh_token)[0]

    async def logout(self, user_id: str, session_id: str) -> None:
        await self._sessions.end(user_id, session_id)

    async def sessions(self, user_id: str) -> list[Session]:
        return await self._sessions.of_user(user_id)

    async def end_session(self, user_id: str, session_id: str) -> int:
        """How many it ended: one. Raises SessionNotFound."""
        if not await self._sessions.end(user_id, session_id):
            raise SessionNotFound()
        return 1

    async def end_other_sessions(self, user_id: str, kept: str) -> int:
        return await self._sessions.end_all(user_id, keep=kept)

    async def get(self, user_id: str) -> User:
        user = await self._users.get(user_id)
        if user is None:
            raise UserNotFound()
        return user

    async def forgot_password(self, email: str, device: Device) -> None:
        """Mails a link if there is such an account; the caller learns nothing either way."""
        user = await self._users.by_email(email)
        if user is not None and not user.disabled:
            account = self.mark(user.email)
            known = await self._attempts.knows(account, device)
            await self._mails.send_reset(user, self._attempts.requester(account, device), known=known)

    async def reset_password(self, token: str, password: str, device: Device) -> None:
        """Uses the link up and ends every session of the user, and the wait for failed log-ins: who reads the mail is
        the owner. Raises BadMailToken, WeakPassword."""
        token_hash = digest(token)
        user = await self._users.by_reset_token(token_hash, self._clock.now())
        if user is None:
            raise BadMailToken()
        hashed = await self._passwords.new(password, user.email, user.name, Asker(device.address))
        await self._sessions.end_all(user.id)  # before the write: if Redis is away, nothing has happened yet
        if await self._mails.take_reset(token_hash, hashed) is None:
            raise BadMailToken()
        await self._sessions.end_all(user.id)
        await self._attempts.succeeded(self.mark(user.email), device)

    async def change_password(self, user_id: str, session_id: str, current: str, new: str, device: Device) -> None:
        """Ends all other sessions. Raises WrongPassword, WeakPassword, LoginLocked."""
        user = await self.confirm(user_id, current, device)
        hashed = await self._passwords.new(new, user.email, user.name, Asker(device.address, known=True))
        await self._sessions.end_all(user_id, keep=session_id)
        await self._users.set_password(user_id, hashed, self._clock.now())
        await self._sessions.end_all(user_id, keep=session_id)

    async def confirm(self, user_id: str, password: str, device: Device) -> User:
        """The user, who has given the password once more. Raises WrongPassword, LoginLocked."""
        user = await self.get(user_id)
        asker = await self._begin_attempt(user.email, device)
        if not await self._passwords.matches(password, user.password_hash, asker):
            raise WrongPassword()
        await self._attempts.succeeded(self.mark(user.email), device)
        return user

    async def forget(self, user: User) -> None:
        """Where an erased account was logged in from."""
        await self._attempts.forget(self.mark(user.email))
        await self._factors.forget(user.id)

    async def request_verification(self, user_id: str) -> None:
        """Mails the link again. Raises TooManyMails."""
        user = await self.get(user_id)
        if not user.email_verified and not await self._mails.send_verification(user):
            raise TooManyMails(retry_after_seconds=int(self._config.mails_window_seconds))

    async def verify_email(self, token: str) -> None:
        if await self._mails.take_verification(digest(token)) is None:
            raise BadMailToken()

    def _role(self, user: User) -> str:
        return granted_role(user, self._config.second_factor_roles)

    def mark(self, email: str) -> str:
        """Stands for an address in records that must not hold it: people type passwords into the wrong field."""
        return hmac.new(self._mark_key, email.strip().casefold().encode(), "sha256").hexdigest()

    def _issued(self, user: User, session_id: str, generation: int) -> Issued:
        return Issued(
            user,
            session_id,
            self._tokens.access(user, session_id),
            self._tokens.refresh(session_id, generation),
            int(self._config.access_token_ttl_seconds),
        )


def _state(user: User) -> tuple[object, ...]:
    """What a login must not have missed."""
    return user.password_changed_at, user.role, user.disabled, user.second_factor
