"""A live feed of states, one per topic, fanned out to thousands of listeners.

Each process has one reader on a capped Redis stream and passes what it reads to its listeners in memory; an idle
listener costs a coroutine and a heartbeat. What comes twice or late is dropped, by version. The feed heals itself:
while Redis is down, and now and then anyway, the watched states are read from the store of truth."""

import asyncio
import logging
import re
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from service.clock import Clock
from service.config import Config
from service.errors import Unavailable
from service.infra.loops import repeat
from service.infra.redis import UNREACHABLE

log = logging.getLogger(__name__)
EVENT_ID = re.compile(r"(\d{1,15})-(\d{1,15})(?![\s\S])")
READ_MAX = 500
TOPICS_PER_QUERY = 1_000
HEARTBEAT = b": \n\n"

EventId = tuple[int, int]


@dataclass(frozen=True, slots=True)
class State:
    """`version` orders the states of a topic; `data` is what listeners are sent, JSON."""

    topic: str
    version: int
    data: bytes


Snapshot = Callable[[Collection[str]], Awaitable[Sequence[State]]]


def parse_id(text: str | None) -> EventId | None:
    """A Last-Event-ID; None when it is none of ours."""
    found = EVENT_ID.match(text or "")
    return (int(found[1]), int(found[2])) if found else None


class FeedWriter:
    """The publishing side. Best effort: what Redis does not take, readers find in the store of truth."""

    def __init__(self, redis: Any, stream: str, config: Config) -> None:
        self._redis, self._stream, self._kept = redis, stream, config.stream_kept_max

    async def publish(self, states: Sequence[State]) -> None:
        if not states:
            return
        pipe = self._redis.pipeline(transaction=False)
        for state in states:
            fields = {"topic": state.topic, "version": state.version, "data": state.data}
            pipe.xadd(self._stream, fields, maxlen=self._kept, approximate=True)
        try:
            await pipe.execute()
        except UNREACHABLE as error:
            log.warning("%d states were not published: %s", len(states), error)


@dataclass(eq=False, slots=True)
class Listener:
    """`seen` is the last state of each topic that was put into `backlog`, the frames not sent yet."""

    topics: frozenset[str]
    backlog_max: int
    gather_seconds: float
    seen: dict[str, State] = field(default_factory=dict)
    backlog: deque[bytes] = field(default_factory=deque)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    open: bool = True

    def tell(self, state: State, frame: bytes) -> None:
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
            self.woken.set()

    def close(self) -> None:
        self.open = False
        self.woken.set()

    async def frames(self) -> AsyncIterator[bytes]:
        """What waits, joined, until the feed ends or drops this listener. A busy topic is sent in gathered pieces."""
        while True:
            await self.woken.wait()
            self.woken.clear()
            if not self.open:
                return
            waiting = b"".join(self.backlog)
            self.backlog.clear()
            yield waiting
            await asyncio.sleep(self.gather_seconds)


class Feed:
    """The listening side of one process. `event` names what listeners are sent."""

    def __init__(self, redis: Any, stream: str, event: str, snapshot: Snapshot, clock: Clock, config: Config) -> None:
        self._redis, self._stream, self._event, self._snapshot = redis, stream, event.encode(), snapshot
        self._clock, self._config = clock, config
        self._by_topic: dict[str, set[Listener]] = {}
        self._recent: deque[tuple[EventId, State]] = deque(maxlen=config.stream_kept_max)
        self._last: EventId = (0, 0)
        self._connected = False
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._beats = 0
        self.listeners: dict[Listener, int] = {}

    def start(self) -> None:
        steps = {"feed reader": self._read, "feed healer": self._heal, "feed heartbeat": self._beat}
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
    async def listen(self, topics: Collection[str], after: EventId | None) -> AsyncIterator[Listener]:
        """A listener that begins with the states as they are now, or with what has happened `after`."""
        if len(self.listeners) >= self._config.stream_listeners_max or self._stop.is_set():
            raise Unavailable("Too many listeners", retry_after_seconds=5)
        backlog_max = self._config.stream_backlog_max + len(topics)
        listener = Listener(frozenset(topics), backlog_max, self._config.stream_gather_seconds)
        self._join(listener)
        try:
            await self._greet(listener, topics, after)
            yield listener
        finally:
            self._leave(listener)

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

    async def _greet(self, listener: Listener, topics: Collection[str], after: EventId | None) -> None:
        if after is not None:
            for event_id, state in self._since(after):
                if state.topic in listener.topics:
                    listener.tell(state, self._frame(event_id, state))
        states = await self._snapshot(topics)
        if after is not None:
            for state in states:
                listener.tell(state, self._frame(self._now(), state))
            return
        fresh = [state for state in states if state.topic not in listener.seen]
        listener.seen |= {state.topic: state for state in fresh}
        data = b'{"items":[' + b",".join(state.data for state in fresh) + b"]}"
        listener.backlog.appendleft(b"id: %d-%d\nevent: snapshot\ndata: %b\n\n" % (*self._now(), data))
        listener.woken.set()

    def _since(self, after: EventId) -> list[tuple[EventId, State]]:
        recent = list(self._recent)
        return recent[bisect_right(recent, after, key=lambda entry: entry[0]) :]

    def _now(self) -> EventId:
        """Where the stream stands: who resumes from here misses nothing that comes after."""
        return self._last if self._connected else (int(self._clock.now().timestamp() * 1000), 0)

    def _frame(self, event_id: EventId, state: State) -> bytes:
        return b"id: %d-%d\nevent: %b\ndata: %b\n\n" % (*event_id, self._event, state.data)

    async def _read(self) -> float:
        """Passes on what is new in the stream; comes back after at most half a time-out."""
        try:
            if not self._connected:
                await self._catch_up()
            block_ms = int(self._config.redis_timeout_seconds * 500)
            position = f"{self._last[0]}-{self._last[1]}"
            found = await self._redis.xread({self._stream: position}, count=READ_MAX, block=block_ms)
        except UNREACHABLE:
            self._connected = False
            raise
        for _, entries in found or ():
            for entry in entries:
                self._pass_on(*_parsed(entry))
        return 0.0

    async def _catch_up(self) -> None:
        """The stream may have gone on, or been wiped, while this process did not look."""
        entries = await self._redis.xrevrange(self._stream, count=self._config.stream_kept_max)
        self._recent.clear()
        self._recent.extend(_parsed(entry) for entry in reversed(entries))
        self._last = self._recent[-1][0] if self._recent else (0, 0)
        self._connected = True
        await self._heal()

    def _pass_on(self, event_id: EventId, state: State) -> None:
        self._last = event_id
        self._recent.append((event_id, state))
        self._tell(event_id, state)

    def _tell(self, event_id: EventId, state: State) -> None:
        if listeners := self._by_topic.get(state.topic):
            frame = self._frame(event_id, state)
            for listener in listeners:
                listener.tell(state, frame)

    async def _heal(self) -> float:
        """Tells what the stream did not. Often while Redis is down, seldom while all is well."""
        topics = list(self._by_topic)
        for start in range(0, len(topics), TOPICS_PER_QUERY):
            for state in await self._snapshot(topics[start : start + TOPICS_PER_QUERY]):
                self._tell(self._now(), state)
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


def _parsed(entry: tuple[bytes, dict[bytes, bytes]]) -> tuple[EventId, State]:
    event_id, fields = entry
    milliseconds, _, number = event_id.decode().partition("-")
    state = State(fields[b"topic"].decode(), int(fields[b"version"]), fields[b"data"])
    return (int(milliseconds), int(number)), state
