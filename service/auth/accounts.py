"""What can be done about accounts: by admins, by their owners, and from the command line."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

from service.auth.models import (
    LastAdmin,
    NewUser,
    Session,
    User,
    UserNotFound,
    gave_second_factor,
    granted_role,
    new_user,
)
from service.auth.passwords import Passwords
from service.auth.repository import UserRepository
from service.auth.second_factor import SecondFactors
from service.auth.sessions import SessionStore
from service.config import Config
from service.email_address import parse_address, parse_known_address
from service.events import AccountChanged, AccountErased
from service.infra.mongo.client import Session as StoreSession
from service.messaging.outbox import Fact
from service.messaging.unit_of_work import UnitOfWork
from service.runtime import Runtime
from service.web.http.access import ROLES

BULK_BATCH = 1_000


class SessionAlignment:
    """Carries what was committed about an account over to its sessions: its role, or that it is gone."""

    def __init__(self, users: UserRepository, sessions: SessionStore, config: Config) -> None:
        self._users, self._sessions, self._config = users, sessions, config

    async def align(self, user_id: str) -> None:
        user = await self._users.get(user_id)
        if user is None or user.disabled:
            await self._sessions.end_all(user_id)
            return
        for session in await self._sessions.of_user(user_id):
            if not gave_second_factor(user, session.id, session.factor_id):
                await self._sessions.end(user_id, session.id)
        await self._sessions.change_role(user_id, self.role(user))

    def role(self, user: User) -> str:
        """Of the user's sessions."""
        return granted_role(user, self._config.second_factor_roles)

    async def follow(self, facts: Sequence[Fact]) -> None:
        """For the relay: also when the process that changed the account was killed, or Redis was away."""
        changed = [fact.event.user_id for fact in facts if isinstance(fact.event, AccountChanged)]
        for user_id in dict.fromkeys(changed):
            await self.align(user_id)


class Accounts:
    def __init__(
        self,
        users: UserRepository,
        sessions: SessionStore,
        passwords: Passwords,
        factors: SecondFactors,
        work: UnitOfWork,
        runtime: Runtime,
    ) -> None:
        self._users, self._sessions, self._passwords, self._factors = users, sessions, passwords, factors
        self._alignment = SessionAlignment(users, sessions, runtime.config)
        self._transactions, self._outbox = work.transactions, work.outbox
        self._clock, self._ids = runtime.clock, runtime.ids

    async def get(self, user_id: str) -> User:
        user = await self._users.get(user_id)
        if user is None:
            raise UserNotFound()
        return user

    async def find_by_email(self, email: str) -> list[User]:
        user = await self._users.by_email(parse_known_address(email))
        return [] if user is None else [user]

    async def newest(self, role: str | None, before: tuple[datetime, str] | None, limit: int) -> list[User]:
        return await self._users.newest(role, before, limit)

    async def change_role(self, user_id: str, role: str) -> User:
        """Acts on the user's next request. Raises UserNotFound, LastAdmin.

        The sessions lose what is taken away before the change is committed: if Redis is away, nothing has happened.
        What is committed is carried over to them, by the relay too if this process does not get that far."""

        async def body(session: StoreSession) -> None:
            await self._change(user_id, session, admin_stays=role == "admin")
            await self._users.change_role(user_id, role, session)

        user = await self.get(user_id)
        if ROLES[role] < ROLES[user.role]:
            await self._sessions.change_role(user_id, self._alignment.role(replace(user, role=role)))
        try:
            await self._transactions.run(body)
        finally:
            await self._alignment.align(user_id)
        return await self.get(user_id)

    async def disable(self, user_id: str, disabled: bool) -> User:
        """Nobody logs in to a disabled account, and its sessions end at once. Raises UserNotFound, LastAdmin."""

        async def body(session: StoreSession) -> None:
            await self._change(user_id, session, admin_stays=not disabled)
            await self._users.set_disabled(user_id, disabled, session)

        if disabled:
            await self._sessions.end_all((await self.get(user_id)).id)  # if Redis is away, nothing has happened
        await self._transactions.run(body)
        await self._alignment.align(user_id)
        return await self.get(user_id)

    async def erase(self, user_id: str) -> None:
        """The person is gone, the orders stay. What other domains keep follows by the relay. Raises UserNotFound,
        LastAdmin."""

        async def body(session: StoreSession) -> None:
            await self._change(user_id, session, admin_stays=False)
            await self._users.erase(user_id, self._clock.now(), session)
            await self._outbox.add([AccountErased(user_id)], session)

        await self._sessions.end_all((await self.get(user_id)).id)
        await self._transactions.run(body)
        await self._alignment.align(user_id)

    async def confirm_second_factor(self, user_id: str, code: str, kept: str) -> None:
        """Logins that gave a password alone end; the one that gave the code may do what its role may. If Redis fails
        in between, the relay ends them, and a refresh finds by the committed record that they have ended.

        Raises UserNotFound, NoSecondFactor, BadCode, LoginLocked."""
        checked = await self._factors.checked(user_id, code, kept)

        async def body(session: StoreSession) -> None:
            await self._change(user_id, session, admin_stays=True)
            await self._factors.confirm(user_id, checked, session)

        await self._transactions.run(body)
        await self._sessions.end_all(user_id, keep=kept)
        await self._alignment.align(user_id)

    async def remove_second_factor(self, user_id: str, kept: str = "") -> None:
        """Ends all sessions but `kept`. Raises UserNotFound."""

        async def body(session: StoreSession) -> None:
            await self._change(user_id, session, admin_stays=True)
            await self._factors.remove(user_id, session)

        await self._sessions.end_all((await self.get(user_id)).id, keep=kept)
        await self._transactions.run(body)
        await self._alignment.align(user_id)

    async def reset_second_factor(self, user_id: str) -> None:
        """For somebody who has lost it: wrong codes are forgotten, too. Raises UserNotFound."""
        await self.remove_second_factor(user_id)
        await self._factors.forget(user_id)

    async def _change(self, user_id: str, session: StoreSession, *, admin_stays: bool) -> None:
        """Before the change itself: the user is there, one admin stays, the sessions will follow."""
        user = await self._users.get(user_id, session)
        if user is None:
            raise UserNotFound()
        leaves = user.role == "admin" and not user.disabled and not admin_stays
        if leaves and await self._users.count_admins(session) < 2:
            raise LastAdmin()
        await self._outbox.add([AccountChanged(user_id)], session)

    async def sessions(self, user_id: str) -> list[Session]:
        return await self._sessions.of_user((await self.get(user_id)).id)

    async def end_sessions(self, user_id: str) -> int:
        """All of them: how many."""
        return await self._sessions.end_all((await self.get(user_id)).id)

    async def create_admin(self, email: str, password: str, name: str = "Administrator") -> User:
        """The first admin, and any further one, from the command line: a new user, or an existing one whose password
        this becomes. Raises BadAddress, WeakPassword."""
        email = parse_address(email)
        hashed = await self._passwords.new(password, email, name)
        existing = await self._users.by_email(email)
        if existing is None:
            admin = new_user(self._ids, self._clock, NewUser(email, name, "admin"), hashed, verified=True)
            await self._users.add(admin)
            return admin
        await self._sessions.end_all(existing.id)
        await self._users.set_password(existing.id, hashed, self._clock.now())
        return await self.change_role(existing.id, "admin")

    async def bulk_create(self, users: Iterable[NewUser], password: str) -> list[str]:
        """Seeds users fast: they share one password and its hash. Who is there already is left as they are. Returns
        the ids of those that were made, in order. Raises EmailTaken."""
        hashed, made, waiting = await self._passwords.hash(password), list[str](), iter(users)
        while batch := list(islice(waiting, BULK_BATCH)):
            known = await self._users.ids_by_email([user.email for user in batch])
            missing = [user for user in batch if user.email.lower() not in known]
            accounts = [new_user(self._ids, self._clock, user, hashed, verified=True) for user in missing]
            if accounts:
                await self._users.add_many(accounts)
            made += [account.id for account in accounts]
        return made

    async def ids_by_email(self, emails: Sequence[str]) -> dict[str, str]:
        """The ids of those that have an account, by address in small letters."""
        return await self._users.ids_by_email(emails)
