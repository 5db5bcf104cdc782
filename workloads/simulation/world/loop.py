"""An event loop whose time is virtual and whose order is the seed's.

Owns when and in which order anything runs in a simulation. Time stands still while something is ready and jumps
to the next timer when nothing is, so sleeping costs nothing; whatever is ready runs in an order drawn from the
seed, so every seed is another interleaving, and the same seed the same one in any process. There is no real I/O:
when nothing is ready and nothing is scheduled, waiting could never end, which is reported as a deadlock.
"""

import asyncio
import heapq
import random
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar, TypeVarTuple

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

# Steps without time moving on: far above what one instant of any scenario needs, far below what hangs a test run.
LIVELOCK_STEPS = 2_000_000


class Deadlock(RuntimeError):
    """Nothing is ready and nothing is scheduled, but the main task has not finished."""


class Livelock(RuntimeError):
    """Tasks keep each other busy without virtual time ever moving on."""


class Group:
    """Tasks that live and die together: a simulated operating-system process.

    A killed group never runs again: no `finally`, no `except CancelledError`, as after SIGKILL. A paused one runs
    nothing until its time has come, as after SIGSTOP and SIGCONT.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.paused_until = 0.0
        self.tasks: dict[asyncio.Task[Any], None] = {}

    def kill(self) -> None:
        self.alive = False


GROUP: ContextVar[Group | None] = ContextVar("GROUP", default=None)


class SeededFuture(asyncio.Future[Any]):
    """A future whose hash is its number: sets of futures then iterate alike in every process."""

    __slots__ = ("_number",)
    _number: int

    def __hash__(self) -> int:
        return self._number


class SeededTask(asyncio.Task[Any]):
    """A task whose hash is its number, for the same reason (asyncio.TaskGroup keeps its tasks in a set)."""

    _number = 0

    def __hash__(self) -> int:
        return self._number


class Step(asyncio.Handle):
    """What is to run once. asyncio's own asks for debug mode and keeps a traceback: a third of a loop step."""

    __slots__ = ()

    def __init__(self, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None) -> None:
        self._callback, self._args = callback, args
        self._context = copy_context() if context is None else context
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True


class Timer(asyncio.TimerHandle):
    """A step at its time. Cancelled, it stays in the heap and is skipped when its time comes."""

    __slots__ = ()

    def __init__(
        self, when: float, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None
    ) -> None:
        self._when, self._callback, self._args = when, callback, args
        self._context = copy_context() if context is None else context
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True


class Nap:
    """What a sleeping task waits for. The timer runs the task itself: no future, and no step to settle one, between."""

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_loop", "_timer", "_when")
    _timer: Timer

    def __init__(self, loop: "SimulationLoop", when: float) -> None:
        self._loop, self._when, self._cancelled = loop, when, False

    def __await__(self) -> Generator["Nap", None, None]:
        self._asyncio_future_blocking = True
        yield self

    # What a task asks of a future.

    def get_loop(self) -> "SimulationLoop":
        return self._loop

    def add_done_callback(self, wake: Callable[..., Any], *, context: Context) -> None:
        self._timer = self._loop.schedule(self._when, wake, (self,), context)

    def cancel(self, msg: str | None = None) -> bool:
        if not self._cancelled:
            self._cancelled, timer = True, self._timer
            timer.cancel()
            self._loop.call_soon(timer._callback, self, context=timer._context)
        return True

    def result(self) -> None:
        del self._timer  # it refers back: nobody should have to look for that circle
        if self._cancelled:
            raise asyncio.CancelledError


class SimulationLoop(asyncio.AbstractEventLoop):
    """Virtual time in seconds since the start of the run; `rng` decides every order."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._random = random.Random(f"loop {seed}").random
        self._now = 0.0
        self._ready: list[asyncio.Handle] = []
        self._timers: list[tuple[float, float, int, asyncio.Handle]] = []
        self._numbers = 0
        self._graveyard: list[asyncio.Task[Any]] = []
        self.errors: list[dict[str, Any]] = []
        self.steps = 0

    # What asyncio asks of a loop.

    def time(self) -> float:
        return self._now

    # Asked for every future: `bool()` says no without a frame of its own.
    get_debug = staticmethod(bool)

    def is_running(self) -> bool:
        return asyncio._get_running_loop() is self

    def is_closed(self) -> bool:
        return False

    def call_soon(
        self, callback: Callable[[*Arguments], object], *args: *Arguments, context: Context | None = None
    ) -> asyncio.Handle:
        handle = Step(callback, args, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Arguments], object], *args: *Arguments, context: Context | None = None
    ) -> asyncio.Handle:
        raise NotImplementedError("a simulation has no threads")

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.schedule(self._now + delay, callback, args, context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.schedule(when, callback, args, context)

    def schedule(
        self, when: float, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None
    ) -> Timer:
        timer = Timer(when, callback, args, context)
        self._numbers += 1
        heapq.heappush(self._timers, (when, self._random(), self._numbers, timer))
        return timer

    def sleep(self, seconds: float) -> Awaitable[None]:
        """asyncio.sleep without its future: most of what a simulation does is wait."""
        return Nap(self, self._now + seconds) if seconds > 0 else asyncio.sleep(0)

    def create_future(self) -> asyncio.Future[Any]:
        future = SeededFuture(loop=self)
        self._numbers += 1
        future._number = self._numbers
        return future

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> asyncio.Task[Any]:
        group = GROUP.get() if context is None else context.get(GROUP)
        task = SeededTask(coro, loop=self, name=name, context=context)
        self._numbers += 1
        task._number = self._numbers
        if group is not None:
            group.tasks[task] = None
            task.add_done_callback(group.tasks.pop)
        return task

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Arguments], Result], *args: *Arguments
    ) -> asyncio.Future[Result]:
        """Runs at once, on this thread: what a thread does is invisible to the loop but for its result."""
        future = self.create_future()
        self.call_soon(_settle, future, func, args)
        return future

    async def shutdown_asyncgens(self) -> None:
        """Async generators are not tracked: nothing in a simulation outlives its loop."""

    async def shutdown_default_executor(self) -> None:
        """There is no executor."""

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context)

    call_exception_handler = default_exception_handler

    # Running.

    def run(self, main: Coroutine[Any, Any, Result]) -> Result:
        """Runs `main` to its end, then stops what is left; raises what `main` raised, or Deadlock, Livelock.

        Within another loop, as in a notebook's cell, that one waits like for any calculation."""
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            task: asyncio.Task[Result] = self.create_task(main)
            self._run_until(task)
            return task.result()
        finally:
            self._stop_leftovers()
            asyncio._set_running_loop(outer)

    def bury(self, group: Group) -> None:
        """Kills the group; its suspended tasks are kept until the run ends, so that none of their code runs."""
        group.kill()
        self._graveyard += group.tasks
        group.tasks.clear()

    def _run_until(self, task: asyncio.Task[Any]) -> None:
        """Step by step, each drawn from what is ready: the innermost circle of every simulation."""
        ready, draw, done, group_of = self._ready, self._random, task.done, GROUP
        idle_since, idle_until = self._now, self.steps + LIVELOCK_STEPS
        while not done():
            if not ready:
                self._advance()
                if self._now != idle_since:
                    idle_since, idle_until = self._now, self.steps + LIVELOCK_STEPS
            last = len(ready) - 1
            if last:
                chosen = int(draw() * (last + 1))
                ready[chosen], ready[last] = ready[last], ready[chosen]
            handle: Any = ready.pop()
            self.steps += 1
            if handle._cancelled:
                continue
            group = handle._context.get(group_of)
            if group is not None and (not group.alive or group.paused_until > self._now):
                self._keep_back(group, handle)
                continue
            try:
                handle._context.run(handle._callback, *handle._args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - as in asyncio: nobody waits for a callback, the loop goes on
                self.errors.append({"message": f"Exception in callback {handle._callback}", "exception": error})
            if self.steps > idle_until:
                raise Livelock(f"{LIVELOCK_STEPS} steps at {self._now:.6f} s: " + _names(self._pending()))

    def _keep_back(self, group: Group, handle: asyncio.Handle) -> None:
        """Until the pause is over; for ever, of a group that is dead."""
        if group.alive:
            self._numbers += 1
            heapq.heappush(self._timers, (group.paused_until, self._random(), self._numbers, handle))

    def _advance(self) -> None:
        """To the earliest timer that still matters, and makes everything due at that instant ready."""
        timers = self._timers
        while timers:
            when, _, _, timer = heapq.heappop(timers)
            if timer._cancelled:
                continue
            self._now = max(self._now, when)
            self._ready.append(timer)
            while timers and timers[0][0] <= self._now:
                self._ready.append(heapq.heappop(timers)[3])
            return
        raise Deadlock(f"at {self._now:.6f} s nothing is ready or scheduled; waiting: {_names(self._pending())}")

    def _pending(self) -> list[asyncio.Task[Any]]:
        return sorted(asyncio.all_tasks(self) - set(self._graveyard), key=hash)

    def _stop_leftovers(self) -> None:
        """Cancels what still runs and lets it finish; the dead are disposed of without running their code."""
        pending = self._pending()
        for task in pending:
            task.cancel()
        for task in pending:
            try:
                self._run_until(task)
            except (Deadlock, Livelock):
                self._graveyard.append(task)
        for task in self._graveyard:
            _dispose(task)
        self._graveyard.clear()
        self._ready.clear()
        self._timers.clear()


def _settle(future: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        result = func(*args)
    except BaseException as error:  # noqa: BLE001 - belongs to whoever awaits the future
        future.set_exception(error)
    else:
        future.set_result(result)


def _dispose(task: asyncio.Task[Any]) -> None:
    """Frees a suspended task quietly: its process is dead, its clean-up code has nobody to act for."""
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # private to asyncio
    try:
        task.get_coro().close()
    except BaseException:  # noqa: BLE001 - a dead process reports nothing
        return


def _names(tasks: list[asyncio.Task[Any]]) -> str:
    names = [f"{getattr(task.get_coro(), '__qualname__', task.get_coro())}" for task in tasks]
    return ", ".join(sorted(names)) or "no task"


def run(seed: int, main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """One simulation from its seed: `run(7, lambda: scenario(...))`."""
    return new_loop(seed).run(main())


def new_loop(seed: int) -> SimulationLoop:
    # The stubs call abstract what does real I/O, and no simulation has any.
    return SimulationLoop(seed)  # type: ignore[abstract]
