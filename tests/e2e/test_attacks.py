"""Attacks that once worked, replayed against a stack at its documented rate limits, where holds last a second."""

import re
import subprocess
import sys
from pathlib import Path

from stacks import Stack

TESTS = Path(__file__).parents[1]
RUNNER = TESTS.parent / "scripts" / "conformance" / "attacks" / "run.py"


def test_every_attack_that_once_worked_is_refused(hasty: Stack, stack: Stack) -> None:
    command = [sys.executable, str(RUNNER), "--url", hasty.url, "--admin-token", hasty.admin.token]
    ended = subprocess.run(
        [*command, "--data", str(stack.data)], capture_output=True, text=True, timeout=110, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "not tried" not in ended.stdout.replace("0 not tried", ""), ended.stdout


def test_what_is_held_inside_is_held_by_tests_that_exist() -> None:
    named = re.findall(r'"(test_\w+)"', RUNNER.read_text())
    known = {name for path in TESTS.rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}
    assert named
    assert [name for name in named if name not in known] == []
