"""Audit hook (PEP 578) that notes every file a Python process opens outside of what a clone brings.

Allowed are the repository, the Python installation with its locked packages, the system, the temporary folder and the
dot folders of HOME. Everything else would be missing on another machine. The test session puts this folder on
PYTHONPATH, so every process it starts is watched, too; `conftest.py` fails the session when anything was noted."""

import os
import sys
import tempfile

NOTES = os.environ.get("TESTS_FOREIGN_FILES", "")
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr", "/bin", "/lib", "/lib64", "/opt", "/var", "/run")


def _folders() -> tuple[str, ...]:
    temporary = (tempfile.gettempdir(), "/tmp")  # some programs know no other
    return tuple(
        os.path.join(os.path.realpath(folder), "")
        for folder in (REPOSITORY, sys.prefix, sys.base_prefix, *temporary, *SYSTEM)
    )


def is_foreign(path: str, folders: tuple[str, ...], home: str) -> bool:
    """Whether a clone on another machine would not have `path`, an absolute one."""
    real = os.path.realpath(path)
    in_dot_folder = real.startswith(os.path.join(home, "."))
    return not in_dot_folder and not any(real.startswith(folder) for folder in folders)


def watch(notes: str) -> None:
    """From now on, for the life of this process: an audit hook cannot be taken off."""
    folders, home = _folders(), os.path.realpath(os.path.expanduser("~"))
    seen: set[str] = set()

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], str) or arguments[0] in seen:
            return
        path = arguments[0]
        seen.add(path)
        if os.path.isfile(path) and is_foreign(os.path.abspath(path), folders, home):
            with os.fdopen(os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "a") as file:
                file.write(f"{path}\n")

    sys.addaudithook(note)


if NOTES:
    watch(NOTES)
