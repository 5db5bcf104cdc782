"""Who may be mailed a notice: the owner of an account, at its verified address, or whoever has said yes to a mail.

A recipient is known by a mark, a keyed hash of the address, so that a link in a mail names it without naming it. The
link ends all notices to that address with one click (RFC 8058), and nobody is sent more than a few a day, whoever asks.
"""

import hmac
import re

from service.alerts.models import BadNoticeLink, Subscription
from service.alerts.recipient_repository import RecipientRepository
from service.auth.models import User
from service.clock import Clock
from service.config import Config
from service.events import MailRequested

LINK = re.compile(r"([0-9a-f]{32})([0-9a-f]{32})(?:-([A-Za-z0-9]{1,64}))?(?![\s\S])")
UNSUBSCRIBE, CONFIRM = "unsubscribe", "confirm"
CONFIRMATION = "notice_confirmation"


class NoticeLinks:
    """The signed part of a link: the mark of a recipient, and the user whose notices a confirmation is about."""

    def __init__(self, config: Config) -> None:
        self._mark_keys, self._keys = config.keys("notice recipient"), config.keys("notice link")

    def mark(self, address: str) -> str:
        return self.marks(address)[0]

    def marks(self, address: str) -> list[str]:
        """By today's secret, and after it by those that were the first one before."""
        named = address.casefold().encode()
        return [hmac.new(key, named, "sha256").hexdigest()[:32] for key in self._mark_keys]

    def unsubscribe(self, mark: str) -> str:
        return mark + self._mac(self._keys[0], UNSUBSCRIBE, mark, "")

    def confirm(self, mark: str, user_id: str) -> str:
        return f"{mark}{self._mac(self._keys[0], CONFIRM, mark, user_id)}-{user_id}"

    def read(self, link: str, purpose: str) -> tuple[str, str]:
        """The mark and the user. Raises BadNoticeLink."""
        found = LINK.match(link)
        if found is None:
            raise BadNoticeLink()
        mark, mac, user_id = found[1], found[2], found[3] or ""
        if not any(hmac.compare_digest(mac, self._mac(key, purpose, mark, user_id)) for key in self._keys):
            raise BadNoticeLink()
        return mark, user_id

    def _mac(self, key: bytes, purpose: str, mark: str, user_id: str) -> str:
        return hmac.new(key, f"{purpose}\0{mark}\0{user_id}".encode(), "sha256").hexdigest()[:32]


class Recipients:
    """Whether an address may be mailed, and how often."""

    def __init__(self, repository: RecipientRepository, links: NoticeLinks, clock: Clock, config: Config) -> None:
        self._repository, self.links, self._clock, self._config = repository, links, clock, config

    async def agreed(self, user: User, address: str) -> bool:
        """Whether notices that the user asks for may go to the address: it is the account's own and verified, or its
        owner has said yes. Asking for one's own lifts an unsubscription."""
        mark = await self._mark(address)
        if is_own(user, address) and user.email_verified:
            await self._repository.welcome_back(mark)
            return True
        recipient = await self._repository.get(mark)
        return user.id in recipient.confirmed_for and not recipient.unsubscribed

    async def ask(self, user: User, address: str) -> list[MailRequested]:
        """The mail that asks the owner of another address to agree: once a day, to nobody who has had enough of them.
        The account's own address has a mail of its own to be verified by."""
        recipient = await self._repository.get(await self._mark(address))
        if is_own(user, address) or recipient.unsubscribed:
            return []
        if not await self._repository.take_mail(recipient.mark, self._config.notice_confirmations_per_recipient_max):
            return []
        key = f"{CONFIRMATION}:{recipient.mark}:{user.id}:{self._clock.now():%Y-%m-%d}"
        return [MailRequested(key, address, CONFIRMATION, {"recipient": recipient.mark, "user": user.id})]

    async def may_be_mailed(self, subscription: Subscription) -> bool:
        """Counts the mail, if it may. False above the quota of a day."""
        mark = await self._mark(subscription.email)
        return await self._repository.take_mail(mark, self._config.notice_mails_per_recipient_max)

    async def _mark(self, address: str) -> str:
        """What was said under an older secret holds under today's."""
        mark, *older = self.links.marks(address)
        for each in older:
            await self._repository.carry_over(each, mark)
        return mark

    async def has_unsubscribed(self, mark: str) -> bool:
        return (await self._repository.get(mark)).unsubscribed

    async def unsubscribe(self, link: str) -> None:
        """Raises BadNoticeLink. Doing it twice is doing it once."""
        mark, _ = self.links.read(link, UNSUBSCRIBE)
        await self._repository.unsubscribe(mark)

    async def confirm(self, link: str) -> tuple[str, str]:
        """The mark of the address that has agreed, and the user. Raises BadNoticeLink."""
        mark, user_id = self.links.read(link, CONFIRM)
        await self._repository.confirm(mark, user_id)
        return mark, user_id


def is_own(user: User, address: str) -> bool:
    return user.email.casefold() == address.casefold()
