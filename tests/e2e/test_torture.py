"""`holdfast torture`, forty rounds; the full two hundred are run by command."""

import json
import subprocess

import pytest

from workloads.client.running_stack import holdfast_command


@pytest.mark.slow
@pytest.mark.long_only
@pytest.mark.timeout(3_000)
def test_a_tortured_stack_sells_nothing_twice_and_forgets_nothing() -> None:
    """Slow: starts a real stack, breaks it in each round and waits for its holds to run out. CI types the command."""
    rounds = 40
    command = holdfast_command("torture", "--rounds", str(rounds), "--setup", "embedded", "--seed", "1", "--json")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["ok"]
    assert document["rounds"] == rounds
    assert document["stillUnknown"] == 0
    assert document["orders"] > 10 * rounds
