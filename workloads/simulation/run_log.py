"""The log of many runs: one line of JSON a seed, written as it ends, so that what was done survives what stops it.

The first line says what was asked for; a log that is given again is gone on with, from the seed after its last. The
figure of a log: `python -m workloads.simulation.run_log LOG > figure.svg`.
"""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self

Record = dict[str, Any]


class OtherRun(ValueError):
    """The file is the log of something else."""


class RunLog:
    """Use as a context manager; `known` are the records of an earlier part of the same run, in the order of seeds."""

    def __init__(self, path: Path, asked: Mapping[str, Any]) -> None:
        self._path, self._asked = path, dict(asked)
        self.known: list[Record] = []

    def __enter__(self) -> Self:
        """Raises OtherRun when the file holds the log of another run."""
        if self._path.exists():
            self.known = self._go_on()
        self._file: IO[str] = self._path.open("a", encoding="utf-8")
        if self._file.tell() == 0:
            self._line({"asked": self._asked})
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def add(self, record: Record) -> None:
        self._line({**record, "finishedAt": datetime.now(UTC).isoformat(timespec="seconds")})

    def _line(self, content: Record) -> None:
        self._file.write(json.dumps(content) + "\n")
        self._file.flush()

    def _go_on(self) -> list[Record]:
        """What is there, without a last line that was cut off."""
        text = self._path.read_text(encoding="utf-8")
        whole = _whole(text)
        if whole != text:
            self._path.write_text(whole, encoding="utf-8")
        asked, records = _parse(whole)
        if whole and asked != self._asked:
            raise OtherRun(f"{self._path} is the log of {asked}, not of {self._asked}")
        return records


def read_log(path: Path) -> list[Record]:
    """The records of a log, one a seed; a last line that is still being written is left out."""
    return _parse(_whole(path.read_text(encoding="utf-8")))[1]


def _whole(text: str) -> str:
    return text[: text.rfind("\n") + 1]


def _parse(text: str) -> tuple[Any, list[Record]]:
    lines = [json.loads(line) for line in text.splitlines()]
    return (lines[0].get("asked"), lines[1:]) if lines else (None, [])


def main(path: Path) -> None:
    from workloads.results.plots import runs_over_time

    sys.stdout.write(runs_over_time(read_log(path)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
