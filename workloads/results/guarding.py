"""Owns what becomes of errors a user can do something about: a sentence and an exit code, never a traceback."""

from collections.abc import Callable

from rich.markup import escape

from workloads.progress import say

FAILED, INVALID, WRONG_USAGE = 1, 2, 3


def guarded(action: Callable[[], int]) -> int:
    """Runs a command's work; what a user can do something about becomes a sentence and an exit code."""
    from workloads.client.running_stack import StackError
    from workloads.results.reader import NoRows, ResultError
    from workloads.results.run_folder import RunFolderError, RunNotWritten
    from workloads.traces.faults import TraceError

    try:
        return action()
    except (StackError, RunNotWritten, NoRows) as error:
        say(f"[red]invalid:[/] {escape(str(error))}")
        return INVALID
    except (TraceError, ResultError, RunFolderError) as error:
        say(f"[red]cannot be used:[/] {escape(str(error))}")
        return WRONG_USAGE
    except KeyboardInterrupt:
        say("[red]invalid:[/] interrupted")
        return INVALID
