"""Owns the rows of a locust run: every request heard through locust's own event, packed in the process that made it,
carried to the master with locust's reports, and written there. So one machine, many processes and many machines all
leave the same file."""

import json
import socket
from pathlib import Path
from typing import Any

import gevent
import numpy as np
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from workloads.client.recorder import FLUSH_SECONDS, ROW_FIELDS, Chunk, Recorder, RowWriter
from workloads.drivers.locust.setup import LoadSetup
from workloads.model import outcomes

REPORT_KEY = "holdfast_rows"
TIMEOUTS = (TimeoutError, socket.timeout)


class LocustRows:
    """Listens to one locust process. Times in the packed rows are of the epoch until the master makes them relative."""

    def __init__(self, environment: Environment, setup: LoadSetup) -> None:
        self._environment, self._setup = environment, setup
        self._recorder = Recorder()
        self._writer = RowWriter(Path(setup.rows_path)) if self._writes(environment, setup) else None
        self._listen(environment.events)
        if self._writer is not None:
            gevent.spawn(self._flush_for_ever)

    @staticmethod
    def _writes(environment: Environment, setup: LoadSetup) -> bool:
        return bool(setup.rows_path) and not isinstance(environment.runner, WorkerRunner)

    def _listen(self, events: Any) -> None:
        events.request.add_listener(self._on_request)
        if isinstance(self._environment.runner, WorkerRunner):
            events.report_to_master.add_listener(self._on_report_to_master)
        elif isinstance(self._environment.runner, MasterRunner):
            events.worker_report.add_listener(self._on_worker_report)
        events.quit.add_listener(self._on_quit)

    def _on_request(
        self,
        name: str,
        response_time: float,
        response: Any,
        context: dict[str, Any],
        exception: Exception | None,
        start_time: float,
        **_: Any,
    ) -> None:
        status = getattr(response, "status_code", 0) or 0
        outcome = context.get("outcome") or (outcomes.TIMEOUT if isinstance(exception, TIMEOUTS) else outcomes.ERROR)
        done = start_time + response_time / 1000
        self._recorder.row(start_time, start_time, done, name, status, outcome, _wire_bytes(response))

    def _flush_for_ever(self) -> None:
        while True:
            gevent.sleep(FLUSH_SECONDS)
            self._write(self._recorder.take())

    def _on_report_to_master(self, client_id: str, data: dict[str, Any]) -> None:
        routes, rows = self._recorder.take()
        data[REPORT_KEY] = {"routes": routes, "rows": rows}

    def _on_worker_report(self, client_id: str, data: dict[str, Any]) -> None:
        if self._writer is not None and REPORT_KEY in data:
            self._write(Chunk(data[REPORT_KEY]["routes"], data[REPORT_KEY]["rows"]))

    def _on_quit(self, exit_code: int) -> None:
        if self._writer is None:
            return
        self._write(self._recorder.take())
        check = self._cross_check()
        try:
            self._writer.close()
        except OSError as error:
            check["unwritten"] = str(error)
        Path(self._setup.check_path).write_text(json.dumps(check))

    def _write(self, chunk: Chunk) -> None:
        assert self._writer is not None, "only the process that owns the file writes"
        rows = np.frombuffer(chunk.rows, dtype=ROW_FIELDS).copy()
        for name in ("intended", "sent", "done"):
            rows[name] -= self._setup.started_at
        self._writer.write(Chunk(chunk.routes, rows.tobytes()))

    def _cross_check(self) -> dict[str, Any]:
        """Locust's own figures (rounded) to hold the rows against, and whether locust itself was too slow."""
        total, runner = self._environment.stats.total, self._environment.runner
        busy = getattr(runner, "worker_cpu_warning_emitted", False) or getattr(runner, "cpu_warning_emitted", False)
        return {
            "requests": total.num_requests,
            "failures": total.num_failures,
            "p50Ms": total.get_response_time_percentile(0.5),
            "p95Ms": total.get_response_time_percentile(0.95),
            "clientSaturated": bool(busy),
            "ranSeconds": max(0.0, (total.last_request_timestamp or 0.0) - (total.start_time or 0.0)),
        }


def _wire_bytes(response: Any) -> int:
    """As sent, compressed: locust's own `response_length` is what is left after decompressing."""
    headers = getattr(response, "headers", None)
    length = headers.get("content-length") if headers else None
    return int(length) if length else 0
