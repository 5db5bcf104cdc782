"""A command acts in the currency of the stack it acts on."""

import os
from pathlib import Path

import pytest

from service.stack import locate as stack
from service.stack.folder import StackFolder

NOTE = {"url": "http://127.0.0.1:8000", "mongodbUri": "mongodb://127.0.0.1:1", "redisUrl": "redis://127.0.0.1:1/0"}


@pytest.mark.parametrize("terminal", [None, "EUR"])
def test_a_command_takes_the_currency_of_the_running_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: str | None
) -> None:
    for name in ("MONGODB_URI", "REDIS_URL", "HOLDFAST_CURRENCY"):
        monkeypatch.delenv(name, raising=False)
    if terminal:
        monkeypatch.setenv("HOLDFAST_CURRENCY", terminal)
    StackFolder(tmp_path).write({**NOTE, "pid": os.getpid(), "currency": "JPY"})
    assert stack.configuration(tmp_path).currency == "JPY"
