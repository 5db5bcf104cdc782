"""Owns what a trace is called: a known name, or the path of a file. Every command and benchmark resolves through here,
so the default is one and the same everywhere."""

import os
from pathlib import Path

from workloads.trace_table import TraceError

COMPLETE_JOURNEY = "complete-journey"
KNOWN = (COMPLETE_JOURNEY,)
SETTING = "HOLDFAST_TRACE"


def default_trace() -> str:
    """The packaged year, or what HOLDFAST_TRACE names instead."""
    return os.environ.get(SETTING) or COMPLETE_JOURNEY


def default_is_there() -> bool:
    """Whether something was named, or the package is installed. What is there may be damaged: reading it tells."""
    from workloads.complete_journey import PACKAGE

    return default_trace() != COMPLETE_JOURNEY or PACKAGE.installed


def is_packaged(trace: str | Path) -> bool:
    return str(trace) in KNOWN


def trace_file(trace: str | Path) -> Path:
    """The path of a file. Raises TraceError, with the known names, where `trace` is neither that nor one of them."""
    path = Path(trace)
    if not path.exists() and str(trace) == path.stem:
        raise TraceError(f"there is no trace {path} and no file of that name; the known traces are {', '.join(KNOWN)}")
    return path
