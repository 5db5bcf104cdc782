"""Links by mail, requested in the transaction that stores the hash of their token. The outbox carries a ticket; whoever
writes the mail turns it into the token with `mail_token`, so reading the database yields no link. Nothing that a user
typed is in these mails: their receiver may be somebody else."""

import hashlib
from datetime import timedelta

from service.auth.models import User
from service.auth.repository import UserRepository
from service.auth.tokens import MAIL_TOKEN, mail_token
from service.events import AddressVerified, MailRequested
from service.infra.mongo.client import Session as StoreSession
from service.messaging.unit_of_work import UnitOfWork
from service.runtime import Runtime
from service.web.security.gate import SessionAndRateLimitCheck

RESET, VERIFICATION = "password_reset", "email_verification"


class Mails:
    def __init__(
        self,
        users: UserRepository,
        work: UnitOfWork,
        gate: SessionAndRateLimitCheck,
        runtime: Runtime,
    ) -> None:
        self._users, self.transactions, self._outbox, self._gate = users, work.transactions, work.outbox, gate
        self._clock, self._ids, self._config = runtime.clock, runtime.ids, runtime.config
        self._key = runtime.config.key(MAIL_TOKEN)

    async def register(self, user: User) -> None:
        """Adds the user with the mail that verifies the address."""

        async def body(session: StoreSession) -> None:
            await self._users.add(user, session)
            await self._write_verification(user, session)

        await self.transactions.run(body)

    async def send_verification(self, user: User) -> bool:
        """For whoever is logged in. Whether it was sent: not above the limit per account."""
        if not await self._may_mail((f"{VERIFICATION}:{user.id}", self._config.mails_per_account_max)):
            return False
        await self.transactions.run(lambda session: self._write_verification(user, session))
        return True

    async def send_reset(self, user: User, requester: str, *, known: bool) -> bool:
        """Whether it was sent. Each requester has a limit of its own, so that nobody uses up the owner's; strangers
        together have one more, so that many of them cannot fill a mailbox. The last link mailed stays valid."""
        limits = [(f"{RESET}:{user.id}:{requester}", self._config.mails_per_account_max)]
        if not known:
            limits.append((f"{RESET}:{user.id}", self._config.mails_from_strangers_max))
        if not await self._may_mail(*limits):
            return False
        ticket = self._ids.secret()
        expires_at = self._clock.now() + timedelta(seconds=self._config.reset_token_ttl_seconds)

        async def body(session: StoreSession) -> None:
            await self._users.set_reset_token(user.id, self._token_hash(ticket), expires_at, session)
            await self._request(RESET, user, ticket, session)

        await self.transactions.run(body)
        return True

    async def take_verification(self, token_hash: str) -> User | None:
        """Whose address this verifies; None when the link is not valid."""

        async def body(session: StoreSession) -> User | None:
            user = await self._users.take_verification_token(token_hash, self._clock.now(), session)
            return await self._verified(user, session)

        return await self.transactions.run(body)

    async def take_reset(self, token_hash: str, hashed: str) -> User | None:
        """Sets the password of the link's account: who reads its mail has verified its address, too."""

        async def body(session: StoreSession) -> User | None:
            user = await self._users.take_reset_token(token_hash, hashed, self._clock.now(), session)
            return await self._verified(user, session)

        return await self.transactions.run(body)

    async def _verified(self, user: User | None, session: StoreSession) -> User | None:
        if user is not None:
            await self._outbox.add([AddressVerified(user.id, user.email)], session)
        return user

    async def _write_verification(self, user: User, session: StoreSession) -> None:
        ticket = self._ids.secret()
        expires_at = self._clock.now() + timedelta(seconds=self._config.verification_token_ttl_seconds)
        await self._users.set_verification_token(user.id, self._token_hash(ticket), expires_at, session)
        await self._request(VERIFICATION, user, ticket, session)

    async def _request(self, template: str, user: User, ticket: str, session: StoreSession) -> None:
        mail = MailRequested(f"{template}:{ticket[:32]}", user.email, template, {"ticket": ticket})
        await self._outbox.add([mail], session)

    def _token_hash(self, ticket: str) -> str:
        return digest(mail_token(self._key, ticket))

    async def _may_mail(self, *limits: tuple[str, int]) -> bool:
        """Counted in all of the limits or in none."""
        window_ms = int(self._config.mails_window_seconds * 1_000)
        asked = [part for key, quota in limits for part in (f"limit:mail:{key}", quota, window_ms)]
        return not (await self._gate.ask("", tuple(asked))).refused


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
