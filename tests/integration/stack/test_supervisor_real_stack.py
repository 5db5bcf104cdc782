"""`holdfast up` with the real service: what a user types, from the first line to the last process."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from processes import all_end


@pytest.fixture
def up(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "service.cli", "up", "--port", "0", "--data", str(tmp_path), "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def answer(url: str) -> Any:
    with urlopen(url, timeout=5) as response:
        return json.load(response)


def test_the_whole_stack_serves_and_leaves_nothing_behind(up: subprocess.Popen[str], tmp_path: Path) -> None:
    assert up.stdout
    line = up.stdout.readline()
    assert line.startswith("ready http://127.0.0.1:"), up.communicate()[1]
    url = line.removeprefix("ready ").strip()
    note = json.loads((tmp_path / "stack.json").read_text())
    assert note["url"] == url
    assert answer(f"{url}/api/products")["items"] == []

    up.send_signal(signal.SIGINT)
    _, said = up.communicate(timeout=60)
    assert up.returncode == 0, said
    assert "starts again" not in said
    assert all_end([note["pid"], *note["processes"].values()])
