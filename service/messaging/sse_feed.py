"""A live feed of states, one per topic, fanned out to thousands of listeners.

Each process has one reader on a capped Redis stream and passes what it reads to its listeners in memory; an idle
listener costs a coroutine and a heartbeat. What comes twice or late is dropped, by version. The feed heals itself:
while Redis is down, and now and then anyway, the watched states are read from the store of truth."""

import asyncio
import logging
import re
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from service.clock import Clock
from service.config import Config
from service.errors import TooMany, Unavailable
from service.infra import json
from service.infra.loops import repeat
from service.infra.redis.client import UNREACHABLE

log = logging.getLogger(__name__)
EVENT_ID = re.compile(r"(\d{1,15})-(\d{1,15})-(\d{1,6})(?![\s\S])")
ENTRIES_PER_READ = 100
STATES_PER_ENTRY = 100
TOPICS_PER_QUERY = 1_000
HEARTBEAT = b": \n\n"
CLIENT_SHARE = 4  # no client holds more than a quarter of all connections
END_SLOTS = 16

EventId = tuple[int, int, int]  # the stream's entry, and which of its states
NOWHERE: EventId = (0, 0, 0)


class State(msgspec.Struct, array_like=True, frozen=True):
    """`version` orders the states of a topic; `data` is what listeners are sent, JSON."""

    topic: str
    version: int
    data: msgspec.Raw


STATES = msgspec.json.Decoder(list[State])
Snapshot = Callable[[Collection[str]], Awaitable[Sequence[State]]]


def parse_id(text: str | None) -> EventId | None:
    """A Last-Event-ID; None when it is none of ours."""
    found = EVENT_ID.match(text or "")
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


class FeedWriter:
    """The publishing side. Best effort: what Redis does not take, readers find in the store of truth."""

    def __init__(self, redis: Any, stream: str, config: Config) -> None:
        self._redis, self._stream, self._entries_kept = redis, stream, config.stream_entries_kept_max

    async def publish(self, states: Sequence[State]) -> None:
        try:
            for start in range(0, len(states), STATES_PER_ENTRY):
                entry = {"states": json.encode(states[start : start + STATES_PER_ENTRY])}
                await self._redis.xadd(self._stream, entry, maxlen=self._entries_kept, approximate=True)
        except UNREACHABLE as error:
            log.warning("%d states were not published: %s", len(states), error)

    async def forget(self) -> None:
        """Nothing that was published is told to anybody any more."""
        await self._redis.delete(self._stream)


@dataclass(eq=False, slots=True)
class Listener:
    """`seen` is the last state of each topic that was put into `backlog`, the frames not sent yet."""

    topics: frozenset[str]
    backlog_max: int
    gather_seconds: float
    seen: dict[str, State] = field(default_factory=dict)
    backlog: deque[bytes] = field(default_factory=deque)
    wakeup: asyncio.Event = field(default_factory=asyncio.Event)
    open: bool = True

    def push_state(self, state: State, frame: bytes) -> None:
        seen = self.seen.get(state.topic)
        if seen is None or state.version > seen.version or (state.version == seen.version and state.data != seen.data):
            self.seen[state.topic] = state
            self.push(frame)

    def push(self, frame: bytes) -> None:
        """A listener that does not keep up is dropped; its client comes back and resumes."""
        if len(self.backlog) >= self.backlog_max:
            self.close()
        elif self.open:
            self.backlog.append(frame)
            self.wakeup.set()

    def close(self) -> None:
        self.open = False
        self.wakeup.set()

    async def frames(self) -> AsyncIterator[bytes]:
        """What waits, joined, until the feed ends or drops this listener. A busy topic is sent in gathered pieces."""
        while True:
            await self.wakeup.wait()
            self.wakeup.clear()
            if not self.open:
                return
            waiting = b"".join(self.backlog)
            self.backlog.clear()
            yield waiting
            await asyncio.sleep(self.gather_seconds)


class SseBroadcaster:
    """The listening side of one process. `event` names what listeners are sent."""

    def __init__(self, redis: Any, stream: str, event: str, snapshot: Snapshot, clock: Clock, config: Config) -> None:
        self._redis, self._stream, self._event, self._snapshot = redis, stream, event.encode(), snapshot
        self._clock, self._config = clock, config
        self._by_topic: dict[str, set[Listener]] = {}
        self._real: set[str] = set()  # of those, such as have a state: only these are healed
        self._recent: deque[tuple[EventId, State]] = deque(maxlen=config.stream_kept_max)
        self._last = NOWHERE
        self._connected = False
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._beats = 0
        scaled = max(1, round(config.streams_per_client_max * config.rate_limit_scale))
        self._per_client_max = max(1, min(scaled, config.connections_max // CLIENT_SHARE))
        self._open_of: Counter[str] = Counter()
        self.listeners: dict[Listener, int] = {}

    def start(self) -> None:
        steps = {"feed reader": self._read, "feed resync": self._resync, "feed heartbeat": self._beat}
        self._tasks = [asyncio.create_task(repeat(name, step, self._stop)) for name, step in steps.items()]

    async def close(self) -> None:
        """Every listener's frames end; their clients come back to another process."""
        self._stop.set()
        for listener in self.listeners:
            listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @asynccontextmanager
    async def listen(self, topics: Collection[str], after: EventId | None, client: str = "") -> AsyncIterator[Listener]:
        """A listener that begins with the states as they are now, or with what has happened `after`. It ends after
        `stream_seconds_max`, so that nobody holds a connection for ever; its client comes back and resumes. Raises
        TooMany for a `client` with too many of them, Unavailable when there are too many in all."""
        if len(self.listeners) >= self._config.stream_listeners_max or self._stop.is_set():
            raise Unavailable("Too many listeners", retry_after_seconds=5)
        with self._counted(client), self._ended_in_time(topics) as listener:
            self._join(listener)
            try:
                await self._send_snapshot(listener, topics, after)
                yield listener
            finally:
                self._leave(listener)

    @contextmanager
    def _counted(self, client: str) -> Iterator[None]:
        if client and self._open_of[client] >= self._per_client_max:
            raise TooMany(f"More than {self._per_client_max} streams at once", retry_after_seconds=30)
        self._open_of[client] += 1
        try:
            yield
        finally:
            self._open_of[client] -= 1
            if not self._open_of[client]:
                del self._open_of[client]

    @contextmanager
    def _ended_in_time(self, topics: Collection[str]) -> Iterator[Listener]:
        """Some end a little earlier than others, lest all come back at once."""
        backlog_max = self._config.stream_backlog_max + len(topics)
        listener = Listener(frozenset(topics), backlog_max, self._config.stream_gather_seconds)
        earlier = len(self.listeners) % END_SLOTS / (10 * END_SLOTS)
        seconds = self._config.stream_seconds_max * (1 - earlier)
        ending = asyncio.get_running_loop().call_later(seconds, listener.close)
        try:
            yield listener
        finally:
            ending.cancel()

    def _join(self, listener: Listener) -> None:
        self.listeners[listener] = len(self.listeners) % self._beat_slots
        for topic in listener.topics:
            self._by_topic.setdefault(topic, set()).add(listener)

    def _leave(self, listener: Listener) -> None:
        del self.listeners[listener]
        for topic in listener.topics:
            others = self._by_topic[topic]
            others.discard(listener)
            if not others:
                del self._by_topic[topic]
                self._real.discard(topic)

    async def _send_snapshot(self, listener: Listener, topics: Collection[str], after: EventId | None) -> None:
        if after is not None:
            for event_id, state in self._since(after):
                if state.topic in listener.topics:
                    listener.push_state(state, _frame(event_id, self._event, state.data))
        states = await self._snapshot(topics)
        self._real.update(state.topic for state in states)
        if after is not None:
            for state in states:
                listener.push_state(state, _frame(self._now(), self._event, state.data))
            return
        fresh = [state for state in states if state.topic not in listener.seen]
        listener.seen |= {state.topic: state for state in fresh}
        data = b'{"items":[' + b",".join(bytes(state.data) for state in fresh) + b"]}"
        listener.backlog.appendleft(_frame(self._now(), b"snapshot", data))
        listener.wakeup.set()

    def _since(self, after: EventId) -> list[tuple[EventId, State]]:
        recent = list(self._recent)
        return recent[bisect_right(recent, after, key=lambda entry: entry[0]) :]

    def _now(self) -> EventId:
        """Where the stream stands: who resumes from here misses nothing that comes after."""
        return self._last if self._connected else (int(self._clock.now().timestamp() * 1000), 0, 0)

    async def _read(self) -> float:
        """Passes on what is new in the stream; comes back after at most half a time-out."""
        try:
            if not self._connected:
                await self._catch_up()
            block_ms = int(self._config.redis_timeout_seconds * 500)
            position = f"{self._last[0]}-{self._last[1]}"
            found = await self._redis.xread({self._stream: position}, count=ENTRIES_PER_READ, block=block_ms)
        except UNREACHABLE:
            self._connected = False
            raise
        for _, entries in found or ():
            for event_id, state in _parsed(entries):
                self._pass_on(event_id, state)
            self._last = max(self._last, (*_entry_id(entries[-1][0]), 0))  # past what could not be read, too
        return 0.0

    async def _catch_up(self) -> None:
        """The stream may have gone on, or been wiped, while this process did not look."""
        entries = await self._redis.xrevrange(self._stream, count=self._config.stream_entries_kept_max)
        self._recent.clear()
        self._recent.extend(_parsed(reversed(entries)))
        self._last = self._recent[-1][0] if self._recent else NOWHERE
        self._connected = True
        await self._resync()

    def _pass_on(self, event_id: EventId, state: State) -> None:
        self._last = event_id
        self._recent.append((event_id, state))
        self._push_to_all(event_id, state)

    def _push_to_all(self, event_id: EventId, state: State) -> None:
        if listeners := self._by_topic.get(state.topic):
            self._real.add(state.topic)
            frame = _frame(event_id, self._event, state.data)
            for listener in listeners:
                listener.push_state(state, frame)

    async def _resync(self) -> float:
        """Tells what the stream did not. Often while Redis is down, seldom while all is well. Topics that never had a
        state are left out: whoever makes them up costs no more than what there is."""
        topics = list(self._real)
        for start in range(0, len(topics), TOPICS_PER_QUERY):
            for state in await self._snapshot(topics[start : start + TOPICS_PER_QUERY]):
                self._push_to_all(self._now(), state)
        return self._config.stream_heal_seconds if self._connected else self._config.stream_poll_seconds

    async def _beat(self) -> float:
        """Comments that keep idle connections alive, a part of the listeners each second."""
        self._beats += 1
        for listener, slot in list(self.listeners.items()):
            if slot == self._beats % self._beat_slots and not listener.backlog:
                listener.push(HEARTBEAT)
        return 1.0

    @property
    def _beat_slots(self) -> int:
        return max(1, int(self._config.stream_heartbeat_seconds))


def _parsed(entries: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> Iterator[tuple[EventId, State]]:
    """What another version wrote and this one cannot read is passed over: listeners hear of it by the next resync."""
    for entry_id, fields in entries:
        try:
            states = STATES.decode(fields[b"states"])
        except (KeyError, msgspec.DecodeError) as error:
            log.warning("entry %s of the stream cannot be read: %s", entry_id.decode(), error)
            states = []
        for place, state in enumerate(states):
            yield (*_entry_id(entry_id), place), state


def _entry_id(raw: bytes) -> tuple[int, int]:
    milliseconds, _, number = raw.decode().partition("-")
    return int(milliseconds), int(number)


def _frame(event_id: EventId, event: bytes, data: msgspec.Raw | bytes) -> bytes:
    return b"id: %d-%d-%d\nevent: %b\ndata: %b\n\n" % (*event_id, event, bytes(data))
