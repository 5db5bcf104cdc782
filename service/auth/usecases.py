"""What can be done with accounts and logins."""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice

from service.auth.models import (
    BadCredentials,
    BadMailToken,
    BadRefreshToken,
    Device,
    Issued,
    LastAdmin,
    LoginLocked,
    NewUser,
    Session,
    SessionNotFound,
    TokenReused,
    TooManyMails,
    User,
    UserNotFound,
    WrongPassword,
    check_password,
)
from service.auth.passwords import Passwords
from service.auth.repository import UserRepository
from service.auth.sessions import LoginAttempts, SessionStore
from service.auth.tokens import MAIL_TOKEN, Tokens, mail_token
from service.clock import Clock
from service.config import Config
from service.events import MailRequested
from service.ids import Ids
from service.infra.mongo.client import Session as StoreSession
from service.infra.mongo.client import Transactions
from service.messaging.outbox import Outbox
from service.web.security.gate import Gate

BULK_BATCH = 1_000
RESET, VERIFICATION = "password_reset", "email_verification"


class Auth:
    def __init__(
        self,
        users: UserRepository,
        sessions: SessionStore,
        attempts: LoginAttempts,
        tokens: Tokens,
        passwords: Passwords,
        mails: "Mails",
        clock: Clock,
        ids: Ids,
        config: Config,
    ) -> None:
        self._users, self._sessions, self._attempts = users, sessions, attempts
        self._tokens, self._passwords, self._mails = tokens, passwords, mails
        self._clock, self._ids, self._config = clock, ids, config

    async def register(self, email: str, password: str, name: str, device: Device) -> Issued:
        """Raises EmailTaken, WeakPassword."""
        check_password(password, email, name)
        user = self._new_user(NewUser(email, name), await self._passwords.hash(password))
        await self._mails.register(user)
        return await self._open_session(user, device)

    async def login(self, email: str, password: str, device: Device) -> Issued:
        """Raises BadCredentials, or LoginLocked: both the same for accounts that do not exist."""
        account = account_mark(email)
        wait_seconds = await self._attempts.begin(account, device.address)
        if wait_seconds:
            raise LoginLocked(retry_after_seconds=int(wait_seconds) + 1)
        user = await self._users.by_email(email)
        if not await self._passwords.matches(password, user.password_hash if user else None) or user is None:
            raise BadCredentials()
        await self._attempts.succeeded(account, device.address)
        return await self._open_session(user, device)

    async def _open_session(self, user: User, device: Device) -> Issued:
        now = self._clock.now()
        session = Session(self._ids.secret()[:32], user.id, user.role, 1, now, now, device)
        await self._sessions.open(session)
        await self._check_unchanged(user, session)
        return self._issued(user, session.id, 1)

    async def _check_unchanged(self, user: User, session: Session) -> None:
        """A password or a role that changed during the login has not seen this session, so it must not stay."""
        current = await self._users.get(user.id)
        if current is None or (current.password_changed_at, current.role) != (user.password_changed_at, user.role):
            await self._sessions.end(user.id, session.id)
            raise BadCredentials("The account changed during the login; try again")

    async def refresh(self, refresh_token: str) -> Issued:
        """Rotates the token. Raises BadRefreshToken, or TokenReused, which has ended the session."""
        session_id, generation = self._tokens.read_refresh(refresh_token)
        outcome, user_id, valid = await self._sessions.rotate(session_id, generation)
        if outcome == "reused":
            raise TokenReused()
        user = await self._users.get(user_id) if outcome == "rotated" else None
        if user is None:
            raise BadRefreshToken()
        return self._issued(user, session_id, valid)

    def session_of(self, refresh_token: str) -> str:
        """The session a refresh token belongs to, alive or not. Raises BadRefreshToken."""
        return self._tokens.read_refresh(refresh_token)[0]

    async def logout(self, user_id: str, session_id: str) -> None:
        await self._sessions.end(user_id, session_id)

    async def sessions(self, user_id: str) -> list[Session]:
        return await self._sessions.of_user(user_id)

    async def end_session(self, user_id: str, session_id: str) -> None:
        if not await self._sessions.end(user_id, session_id):
            raise SessionNotFound()

    async def end_other_sessions(self, user_id: str, kept: str) -> int:
        return await self._sessions.end_all(user_id, keep=kept)

    async def get(self, user_id: str) -> User:
        user = await self._users.get(user_id)
        if user is None:
            raise UserNotFound()
        return user

    async def forgot_password(self, email: str) -> None:
        """Mails a link if there is such an account; the caller learns nothing either way."""
        user = await self._users.by_email(email)
        if user is not None:
            await self._mails.send_reset(user)

    async def reset_password(self, token: str, password: str) -> None:
        """Uses the link up and ends every session of the user. Raises BadMailToken, WeakPassword."""
        token_hash = _digest(token)
        user = await self._users.by_reset_token(token_hash, self._clock.now())
        if user is None:
            raise BadMailToken()
        check_password(password, user.email, user.name)
        hashed = await self._passwords.hash(password)
        await self._sessions.end_all(user.id)  # before the write: if Redis is away, nothing has happened yet
        if await self._users.take_reset_token(token_hash, hashed, self._clock.now()) is None:
            raise BadMailToken()
        await self._sessions.end_all(user.id)

    async def change_password(self, user_id: str, session_id: str, current: str, new: str, address: str) -> None:
        """Ends all other sessions. Raises WrongPassword, WeakPassword, LoginLocked."""
        user = await self.get(user_id)
        wait_seconds = await self._attempts.begin(account_mark(user.email), address)
        if wait_seconds:
            raise LoginLocked(retry_after_seconds=int(wait_seconds) + 1)
        if not await self._passwords.matches(current, user.password_hash):
            raise WrongPassword()
        await self._attempts.succeeded(account_mark(user.email), address)
        check_password(new, user.email, user.name)
        hashed = await self._passwords.hash(new)
        await self._sessions.end_all(user_id, keep=session_id)
        await self._users.set_password(user_id, hashed, self._clock.now())
        await self._sessions.end_all(user_id, keep=session_id)

    async def request_verification(self, user_id: str) -> None:
        """Mails the link again. Raises TooManyMails."""
        user = await self.get(user_id)
        if not user.email_verified and not await self._mails.send_verification(user):
            raise TooManyMails(retry_after_seconds=int(self._config.mails_window_seconds))

    async def verify_email(self, token: str) -> None:
        if await self._users.take_verification_token(_digest(token), self._clock.now()) is None:
            raise BadMailToken()

    async def find_by_email(self, email: str) -> list[User]:
        user = await self._users.by_email(email)
        return [] if user is None else [user]

    async def newest(self, role: str | None, before: tuple[datetime, str] | None, limit: int) -> list[User]:
        return await self._users.newest(role, before, limit)

    async def change_role(self, user_id: str, role: str) -> User:
        """Acts on the user's next request. Raises UserNotFound, LastAdmin."""

        async def body(session: StoreSession) -> User:
            user = await self._users.get(user_id, session)
            if user is None:
                raise UserNotFound()
            if user.role == "admin" and role != "admin" and await self._users.count_admins(session) < 2:
                raise LastAdmin()
            await self._users.change_role(user_id, role, session)
            return user

        await self._mails.transactions.run(body)
        await self._sessions.change_role(user_id, role)
        return await self.get(user_id)

    async def create_admin(self, email: str, password: str, name: str = "Administrator") -> User:
        """The first admin, and any further one, from the command line: a new user, or an existing one whose password
        this becomes. Raises WeakPassword."""
        check_password(password, email, name)
        hashed = await self._passwords.hash(password)
        existing = await self._users.by_email(email)
        if existing is None:
            admin = self._new_user(NewUser(email, name, "admin"), hashed, verified=True)
            await self._users.add(admin)
            return admin
        await self._sessions.end_all(existing.id)
        await self._users.set_password(existing.id, hashed, self._clock.now())
        return await self.change_role(existing.id, "admin")

    async def bulk_create(self, users: Iterable[NewUser], password: str) -> list[str]:
        """Seeds users fast: they share one password and its hash. Returns their ids, in order."""
        hashed = await self._passwords.hash(password)
        made, waiting = [], iter(users)
        while batch := [self._new_user(user, hashed, verified=True) for user in islice(waiting, BULK_BATCH)]:
            await self._users.add_many(batch)
            made += [user.id for user in batch]
        return made

    def _new_user(self, user: NewUser, hashed: str, *, verified: bool = False) -> User:
        now = self._clock.now()
        return User(self._ids.new(), user.email, user.name, user.role, hashed, now, now, verified)

    def _issued(self, user: User, session_id: str, generation: int) -> Issued:
        return Issued(
            user,
            session_id,
            self._tokens.access(user, session_id),
            self._tokens.refresh(session_id, generation),
            int(self._config.access_token_ttl_seconds),
        )


class Mails:
    """Links by mail, requested in the transaction that stores the hash of their token. The outbox carries a ticket;
    whoever writes the mail turns it into the token with `mail_token`, so reading the database yields no link."""

    def __init__(
        self,
        users: UserRepository,
        transactions: Transactions,
        outbox: Outbox,
        gate: Gate,
        clock: Clock,
        ids: Ids,
        config: Config,
    ) -> None:
        self._users, self.transactions, self._outbox, self._gate = users, transactions, outbox, gate
        self._clock, self._ids, self._config = clock, ids, config
        self._key = config.key(MAIL_TOKEN)

    async def register(self, user: User) -> None:
        """Adds the user with the mail that verifies the address."""

        async def body(session: StoreSession) -> None:
            await self._users.add(user, session)
            await self._write_verification(user, session)

        await self.transactions.run(body)

    async def send_verification(self, user: User) -> bool:
        """Whether it was sent: not above the limit per account."""
        if not await self._may_mail(user):
            return False
        await self.transactions.run(lambda session: self._write_verification(user, session))
        return True

    async def send_reset(self, user: User) -> bool:
        if not await self._may_mail(user):
            return False
        ticket = self._ids.secret()
        expires_at = self._clock.now() + timedelta(seconds=self._config.reset_token_ttl_seconds)

        async def body(session: StoreSession) -> None:
            await self._users.set_reset_token(user.id, self._token_hash(ticket), expires_at, session)
            await self._request(RESET, user, ticket, session)

        await self.transactions.run(body)
        return True

    async def _write_verification(self, user: User, session: StoreSession) -> None:
        ticket = self._ids.secret()
        expires_at = self._clock.now() + timedelta(seconds=self._config.verification_token_ttl_seconds)
        await self._users.set_verification_token(user.id, self._token_hash(ticket), expires_at, session)
        await self._request(VERIFICATION, user, ticket, session)

    async def _request(self, template: str, user: User, ticket: str, session: StoreSession) -> None:
        values = {"name": user.name, "ticket": ticket}
        await self._outbox.add([MailRequested(f"{template}:{ticket[:32]}", user.email, template, values)], session)

    def _token_hash(self, ticket: str) -> str:
        return _digest(mail_token(self._key, ticket))

    async def _may_mail(self, user: User) -> bool:
        window_ms = int(self._config.mails_window_seconds * 1_000)
        answer = await self._gate.ask("", (f"limit:mail:user:{user.id}", self._config.mails_per_account_max, window_ms))
        return not answer.refused


def account_mark(email: str) -> str:
    """Stands for an address in records that must not hold it: people type passwords into the wrong field."""
    return _digest(email.casefold())


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
