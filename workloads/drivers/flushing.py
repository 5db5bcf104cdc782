"""Owns that rows reach the disk while they are measured, and that a run which can no longer hold is ended: every two
seconds the rows are handed to the writer, and the user's own thresholds are asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from workloads.client.recorder import FLUSH_SECONDS, Recorder, RowWriter
from workloads.drivers.ending import FAILED, INVALID, Ending
from workloads.results.run_folder import why_unwritten
from workloads.results.thresholds import Watch


@asynccontextmanager
async def flushed_often(recorder: Recorder, writer: RowWriter, ending: Ending, watch: Watch) -> AsyncIterator[None]:
    """Flushes `recorder` into `writer` for as long as the block lasts, and once more at its end."""
    task = asyncio.create_task(_flush_for_ever(recorder, writer, ending, watch))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        recorder.flush()


async def _flush_for_ever(recorder: Recorder, writer: RowWriter, ending: Ending, watch: Watch) -> None:
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        recorder.flush()
        if writer.failure is not None:
            ending.end(INVALID, f"the run was ended: {why_unwritten(writer.failure)}")
        elif reason := await asyncio.to_thread(watch.look):
            ending.end(FAILED, reason)
