"""Owns moving the wall clock of one process of the stack, by a hook that Python loads at start: no root, no library."""

import os
from pathlib import Path

HOOK = '''"""Adds to this process's wall clock what the file beside it says, in seconds."""

import os
import time
from pathlib import Path

_name = (os.environ.get("HOLDFAST_APP_NAME", "").split("/") + ["", ""])[1]
_file = Path(__file__).with_name(f"{_name}.seconds")
_time_ns, _monotonic = time.time_ns, time.monotonic
_state = {"look_at": 0.0, "ahead_ns": 0}


def _moved_time_ns():
    if _monotonic() >= _state["look_at"]:
        _state["look_at"] = _monotonic() + 0.05
        try:
            _state["ahead_ns"] = int(float(_file.read_text()) * 1e9)
        except FileNotFoundError:
            _state["ahead_ns"] = 0
    return _time_ns() + _state["ahead_ns"]


time.time_ns = _moved_time_ns
'''


class MovedClock:
    """`environment` makes every process of a stack load the hook; `move` sets one of them off."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "sitecustomize.py").write_text(HOOK)

    @property
    def environment(self) -> dict[str, str]:
        others = os.environ.get("PYTHONPATH", "")
        return {"PYTHONPATH": os.pathsep.join(filter(None, (str(self._folder), others)))}

    def move(self, process: str, seconds: float) -> None:
        """In one step: a process that read half a number would be back at the true time for a moment."""
        whole = self._folder / f"{process}.seconds.new"
        whole.write_text(str(seconds))
        whole.replace(self._folder / f"{process}.seconds")
