"""Fair queueing of password hashes: round robin over the clients' addresses, known devices before the others.

A hash takes a quarter of a second of a core, so whoever sends many log-ins makes the others wait. Here each address
takes turns with every other one, has a bounded number of places, and loses the newest of them first when the queue is
full; a device that has logged in before is served before strangers, three times of four.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from service.config import Config
from service.errors import TooMany, Unavailable

Result = TypeVar("Result")
Turn = asyncio.Future[None]
KNOWN_OF_FOUR = 3


@dataclass(frozen=True, slots=True)
class Asker:
    """Who waits for a hash. `known`: a device, or an address, that has logged in to this account before."""

    address: str = ""
    known: bool = False


class Lane:
    """Those who wait, by address; the address at the front has the next turn."""

    def __init__(self) -> None:
        self._addresses: OrderedDict[str, deque[Turn]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._addresses)

    def waiting(self, address: str) -> int:
        return len(self._addresses.get(address, ()))

    def longest(self) -> tuple[int, str]:
        return max(((len(turns), address) for address, turns in self._addresses.items()), default=(0, ""))

    def add(self, address: str, turn: Turn) -> None:
        self._addresses.setdefault(address, deque()).append(turn)

    def next(self) -> Turn:
        """Its address goes to the end."""
        address, turns = self._addresses.popitem(last=False)
        turn = turns.popleft()
        if turns:
            self._addresses[address] = turns
        return turn

    def drop_newest(self, address: str) -> Turn:
        turn = self._addresses[address][-1]
        self.discard(address, turn)
        return turn

    def discard(self, address: str, turn: Turn) -> None:
        turns = self._addresses.get(address, deque())
        if turn in turns:
            turns.remove(turn)
        if not turns:
            self._addresses.pop(address, None)


class HashQueue:
    """Runs work in `bcrypt_threads` threads of its own. Raises TooMany when an address has too many places, Unavailable
    when the queue is full or the turn does not come in time."""

    def __init__(self, config: Config) -> None:
        self._pool = ThreadPoolExecutor(config.bcrypt_threads, thread_name_prefix="bcrypt")
        self._free, self._config = config.bcrypt_threads, config
        self._known, self._strangers = Lane(), Lane()
        self._waiting, self._starts = 0, 0

    async def run(self, work: Callable[[], Result], asker: Asker) -> Result:
        await self._turn(self._known if asker.known else self._strangers, asker.address)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._pass_on()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _turn(self, lane: Lane, address: str) -> None:
        if self._free:
            self._free -= 1
            return
        self._make_room(lane, address)
        turn: Turn = asyncio.get_running_loop().create_future()
        lane.add(address, turn)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._config.password_wait_seconds_max):
                await turn
        except BaseException as error:
            lane.discard(address, turn)
            if _granted(turn):  # in the very moment it gave up
                self._pass_on()
            if isinstance(error, TimeoutError):
                raise Unavailable("Too many logins are waiting", retry_after_seconds=2) from None
            raise
        finally:
            self._waiting -= 1

    def _make_room(self, lane: Lane, address: str) -> None:
        if lane.waiting(address) >= self._config.passwords_waiting_per_address_max:
            raise TooMany("Too many logins from your address are waiting", retry_after_seconds=2)
        if self._waiting < self._config.passwords_waiting_max:
            return
        length, longest = self._strangers.longest()
        if length <= lane.waiting(address) + 1:
            raise Unavailable("Too many logins are waiting", retry_after_seconds=2)
        dropped = self._strangers.drop_newest(longest)
        dropped.set_exception(Unavailable("Too many logins are waiting", retry_after_seconds=2))

    def _pass_on(self) -> None:
        """The thread that became free goes to the next one who still waits."""
        while lane := self._next_lane():
            turn = lane.next()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _next_lane(self) -> Lane | None:
        self._starts += 1
        first, second = self._known, self._strangers
        if self._starts % (KNOWN_OF_FOUR + 1) == 0:
            first, second = second, first
        return first or second or None


def _granted(turn: Turn) -> bool:
    return turn.done() and not turn.cancelled() and turn.exception() is None
