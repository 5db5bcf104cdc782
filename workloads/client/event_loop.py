"""Owns which event loop the drivers run on. uvloop where there is one: its timers wake within a millisecond, and it
leaves more of the core to the requests."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_async(main: Coroutine[Any, Any, T]) -> T:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)
