"""Owns the rows of a run: one per request, packed into a buffer while the run is hot and written as Parquet off the
event loop, every two seconds. Rows rather than histograms, so that every percentile is exact and every later question
can be asked."""

import shutil
import struct
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from workloads.model import outcomes

if TYPE_CHECKING:
    import pyarrow as pa

# intended, sent, done, wire bytes, route code, status, outcome code
ROW = struct.Struct("<dddqHhB")
ROW_FIELDS = np.dtype(
    [
        ("intended", "<f8"),
        ("sent", "<f8"),
        ("done", "<f8"),
        ("wire_bytes", "<i8"),
        ("route", "<u2"),
        ("status", "<i2"),
        ("outcome", "u1"),
    ]
)
OUTCOME_CODES = {name: code for code, name in enumerate(outcomes.ALL)}
ROUTES_MAX = 1_000
ROWS_PER_CHUNK = 500_000
# What a killed run may lose.
FLUSH_SECONDS = 2.0
NEVER = float("nan")

assert ROW.size == ROW_FIELDS.itemsize, "the buffer is read back by these fields"


class RunClock:
    """Seconds since the start of the run, the same in every process that was told when that was."""

    def __init__(self, started_at_epoch_seconds: float) -> None:
        self.started_at_epoch_seconds = started_at_epoch_seconds
        self._origin = time.perf_counter() - (time.time() - started_at_epoch_seconds)

    def now(self) -> float:
        return time.perf_counter() - self._origin

    def at_epoch(self, epoch_seconds: float) -> float:
        return epoch_seconds - self.started_at_epoch_seconds


class Chunk(NamedTuple):
    """Packed rows and the names behind their route codes; what locust workers send to their master."""

    routes: list[str]
    rows: bytes


class Recorder:
    """Collects rows. Times are seconds from the start of the run; a request never sent has no `sent` and no `done`."""

    def __init__(self, writer: "RowWriter | None" = None) -> None:
        self._writer = writer
        self._rows = bytearray()
        self._route_codes: dict[str, int] = {}
        self._spill_bytes = ROWS_PER_CHUNK * ROW.size
        self.count = 0

    def row(
        self, intended: float, sent: float, done: float, route: str, status: int, outcome: str, wire_bytes: int
    ) -> None:
        code = self._route_codes.get(route)
        if code is None:
            code = self._new_route(route)
        self._rows += ROW.pack(intended, sent, done, wire_bytes, code, status, OUTCOME_CODES[outcome])
        self.count += 1
        if len(self._rows) >= self._spill_bytes and self._writer is not None:
            self._writer.write(self.take())

    def take(self) -> Chunk:
        """The rows so far, which are then forgotten here."""
        chunk = Chunk(list(self._route_codes), bytes(self._rows))
        self._rows = bytearray()
        return chunk

    def flush(self) -> None:
        assert self._writer is not None, "a recorder without a writer is emptied with take()"
        self._writer.write(self.take())

    def _new_route(self, route: str) -> int:
        assert len(self._route_codes) < ROUTES_MAX, "routes are templates; an id has got into the name"
        return self._route_codes.setdefault(route, len(self._route_codes))


class KeepingRecorder(Recorder):
    """A recorder whose rows are also kept in memory, for who judges them before the run is over."""

    def __init__(self, writer: "RowWriter") -> None:
        super().__init__(writer)
        self._kept = bytearray()

    def take(self) -> Chunk:
        chunk = super().take()
        self._kept += chunk.rows
        return chunk

    def kept(self) -> Chunk:
        """Everything that was taken so far."""
        return Chunk(list(self._route_codes), bytes(self._kept))


class RowWriter:
    """Writes each chunk as a small Parquet file beside `path`, in a thread of its own so that pacing never waits for
    it, and makes one file of them at the end. What was written is readable whatever kills the run."""

    def __init__(self, path: Path) -> None:
        self.path, self.parts = path, parts_of(path)
        self.parts.mkdir(parents=True, exist_ok=True)
        self.failure: OSError | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rows")
        self._written = 0

    def write(self, chunk: Chunk) -> None:
        """Never raises: what cannot be written is told by `failure`, and by `close`."""
        if chunk.rows and self.failure is None:
            self._thread.submit(self._write, chunk)

    def close(self) -> None:
        """Waits for every chunk and merges them. Raises the OSError that lost rows; what is there stays readable."""
        self._thread.shutdown(wait=True)
        try:
            merge_parts(self.path)
        except OSError as error:
            self.failure = self.failure or error
        if self.failure is not None:
            raise self.failure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _write(self, chunk: Chunk) -> None:
        if self.failure is not None:
            return
        name = self.parts / f"{self._written:06d}.parquet"
        try:
            _write_whole(name, [_table_of(chunk)])
        except OSError as error:
            self.failure = error
        self._written += 1


def parts_of(path: Path) -> Path:
    """Where the rows of `path` are while the run lasts: files that sort in the order they were written."""
    return path.with_suffix(".parts")


def merge_parts(path: Path) -> None:
    """One file of all parts, some hundred thousand rows to a row group, and the parts removed. A run killed before
    this is merged by nobody: readers take the parts."""
    parts = sorted(parts_of(path).glob("*.parquet"))
    _write_whole(path, _grouped(parts))
    shutil.rmtree(parts_of(path), ignore_errors=True)


def row_schema() -> "pa.Schema":
    import pyarrow as pa

    names = pa.dictionary(pa.int32(), pa.string())
    floats = [(name, pa.float64()) for name in ("intended", "sent", "done")]
    others = [("route", names), ("status", pa.int16()), ("outcome", names), ("wire_bytes", pa.int64())]
    return pa.schema([*floats, *others])


def _grouped(parts: Iterable[Path]) -> "Iterator[pa.Table]":
    import pyarrow as pa
    import pyarrow.parquet as pq

    held: list[pa.Table] = []
    for part in parts:
        held.append(pq.read_table(part, schema=row_schema()))
        if sum(table.num_rows for table in held) >= ROWS_PER_CHUNK:
            yield pa.concat_tables(held).unify_dictionaries()
            held = []
    if held:
        yield pa.concat_tables(held).unify_dictionaries()


def _write_whole(path: Path, tables: "Iterable[pa.Table]") -> None:
    """Whole or not at all: a file of this name is always readable."""
    import pyarrow.parquet as pq

    draft = path.with_suffix(".tmp")
    try:
        with pq.ParquetWriter(draft, row_schema(), compression="zstd") as file:
            for table in tables:
                file.write_table(table)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _table_of(chunk: Chunk) -> "pa.Table":
    import pyarrow as pa

    rows = np.frombuffer(chunk.rows, dtype=ROW_FIELDS)
    columns = {
        **{name: pa.array(rows[name].copy(), from_pandas=True) for name in ("intended", "sent", "done")},
        "route": pa.DictionaryArray.from_arrays(rows["route"].astype("int32"), pa.array(chunk.routes)),
        "status": pa.array(rows["status"].copy()),
        "outcome": pa.DictionaryArray.from_arrays(rows["outcome"].astype("int32"), pa.array(outcomes.ALL)),
        "wire_bytes": pa.array(rows["wire_bytes"].copy()),
    }
    return pa.table(columns, schema=row_schema())
