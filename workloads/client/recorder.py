"""Owns the rows of a run: one per request, packed into a buffer while the run is hot and written as Parquet off the
event loop. Rows rather than histograms, so that every percentile is exact and every later question can be asked."""

import struct
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from workloads.model import outcomes

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


class RowWriter:
    """Writes chunks to one Parquet file, a row group each, in a thread of its own so that pacing never waits for it."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = pa.dictionary(pa.int32(), pa.string())
        self._schema = pa.schema(
            [
                ("intended", pa.float64()),
                ("sent", pa.float64()),
                ("done", pa.float64()),
                ("route", names),
                ("status", pa.int16()),
                ("outcome", names),
                ("wire_bytes", pa.int64()),
            ]
        )
        self._file = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rows")
        self._pending: list[Future[None]] = []

    def write(self, chunk: Chunk) -> None:
        if chunk.rows:
            self._pending.append(self._thread.submit(self._write, chunk))

    def close(self) -> None:
        """Waits for every chunk. Raises what writing one of them raised."""
        self._thread.shutdown(wait=True)
        self._file.close()
        for written in self._pending:
            written.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _write(self, chunk: Chunk) -> None:
        import pyarrow as pa

        rows = np.frombuffer(chunk.rows, dtype=ROW_FIELDS)
        columns = {
            **{name: pa.array(rows[name].copy(), from_pandas=True) for name in ("intended", "sent", "done")},
            "route": pa.DictionaryArray.from_arrays(rows["route"].astype("int32"), pa.array(chunk.routes)),
            "status": pa.array(rows["status"].copy()),
            "outcome": pa.DictionaryArray.from_arrays(rows["outcome"].astype("int32"), pa.array(outcomes.ALL)),
            "wire_bytes": pa.array(rows["wire_bytes"].copy()),
        }
        self._file.write_table(pa.table(columns, schema=self._schema))
