"""A short form of `holdfast torture`; the full two hundred rounds are run by command."""

import json
import subprocess

import pytest

from workloads.client.running_stack import holdfast_command


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_tortured_stack_sells_nothing_twice_and_forgets_nothing() -> None:
    """Starts a real stack, breaks it twice and waits for its holds to run out: that takes its time."""
    command = holdfast_command("torture", "--rounds", "2", "--setup", "embedded", "--seed", "1", "--json")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["ok"]
    assert document["rounds"] == 2
    assert document["stillUnknown"] == 0
    assert document["orders"] > 20
