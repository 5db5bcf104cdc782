"""bcrypt, off the event loop in threads of its own.

bcrypt reads 72 bytes. A password is first turned into 64: base64(HMAC-SHA384(pepper, password)), so that no length
is cut off silently, and a stolen database is of no use without the pepper. The same letters typed on another keyboard
may be other bytes: a password is hashed in NFC, and one that was hashed as typed before that still matches as typed.
"""

import base64
import hmac
from typing import NamedTuple

import bcrypt

from service.auth.hash_queue import Asker, HashQueue
from service.auth.models import check_password, composed
from service.config import Config


class Match(NamedTuple):
    """`current`: by the hash that would be made today."""

    ok: bool
    current: bool


class Passwords:
    def __init__(self, config: Config) -> None:
        self._peppers, self._rounds = config.keys("password pepper"), config.bcrypt_rounds
        self._queue, self._nobody = HashQueue(config), ""

    async def new(self, password: str, email: str, name: str, asker: Asker = Asker()) -> str:
        """The hash of a password that somebody chose for an account. Raises WeakPassword."""

        def checked() -> str:
            check_password(password, email, name)
            return self._hash(password)

        return await self._queue.run(checked, asker)

    async def hash(self, password: str, asker: Asker = Asker()) -> str:
        return await self._queue.run(lambda: self._hash(password), asker)

    async def matches(self, password: str, hashed: str | None, asker: Asker = Asker()) -> bool:
        return (await self.check(password, hashed, asker)).ok

    async def check(self, password: str, hashed: str | None, asker: Asker = Asker()) -> Match:
        """Takes the same time for a user that does not exist (`hashed` is None): the answer is no then."""
        return await self._queue.run(lambda: self._check(password, hashed), asker)

    def close(self) -> None:
        self._queue.close()

    def _hash(self, password: str) -> str:
        return bcrypt.hashpw(_shortened(composed(password), self._peppers[0]), bcrypt.gensalt(self._rounds)).decode()

    def _check(self, password: str, hashed: str | None) -> Match:
        if not hashed:
            self._nobody = self._nobody or self._hash("nobody has this password")
        stored = (hashed or self._nobody).encode()  # an erased account has none either
        forms = dict.fromkeys((composed(password), password))
        tried = [_shortened(form, pepper) for pepper in self._peppers for form in forms]
        matching = next((number for number, form in enumerate(tried) if bcrypt.checkpw(form, stored)), None)
        return Match(matching is not None and bool(hashed), matching == 0)


def _shortened(password: str, pepper: bytes) -> bytes:
    return base64.b64encode(hmac.digest(pepper, password.encode(errors="surrogatepass"), "sha384"))
