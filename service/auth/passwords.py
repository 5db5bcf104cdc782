"""bcrypt, off the event loop in threads of its own.

bcrypt reads 72 bytes. A password is first turned into 64: base64(HMAC-SHA384(pepper, password)), so that no length
is cut off silently, and a stolen database is of no use without the pepper.
"""

import asyncio
import base64
import hmac
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt

from service.config import Config
from service.errors import Unavailable

Result = TypeVar("Result")


class Passwords:
    def __init__(self, config: Config) -> None:
        self._pepper, self._rounds = config.key("password pepper"), config.bcrypt_rounds
        self._pool = ThreadPoolExecutor(config.bcrypt_threads, thread_name_prefix="bcrypt")
        self._waiting, self._waiting_max = 0, config.passwords_waiting_max
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        return await self._in_thread(lambda: self._hash(password))

    async def matches(self, password: str, hashed: str | None) -> bool:
        """Takes the same time for a user that does not exist (`hashed` is None): the answer is False then."""
        return await self._in_thread(lambda: self._matches(password, hashed))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= self._waiting_max:
            raise Unavailable("Too many logins are waiting", retry_after_seconds=1)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def _hash(self, password: str) -> str:
        return bcrypt.hashpw(self._shortened(password), bcrypt.gensalt(self._rounds)).decode()

    def _matches(self, password: str, hashed: str | None) -> bool:
        if hashed is None:
            if self._nobody is None:
                self._nobody = self._hash("nobody has this password")
            bcrypt.checkpw(self._shortened(password), self._nobody.encode())
            return False
        return bcrypt.checkpw(self._shortened(password), hashed.encode())

    def _shortened(self, password: str) -> bytes:
        return base64.b64encode(hmac.digest(self._pepper, password.encode(), "sha384"))
