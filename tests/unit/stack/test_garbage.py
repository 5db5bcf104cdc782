"""Collections stop a process: they must be rare, and short however much was made at start."""

import subprocess
import sys
import textwrap

SAYS = """
import gc, time
from service.infra.garbage import freeze_gc

def seconds(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started

kept = [{"n": n, "of": [n]} for n in range(400_000)]
before = min(seconds(gc.collect) for _ in range(3))
freeze_gc()
after = min(seconds(gc.collect) for _ in range(3))
print(after < before / 5, gc.get_threshold()[0] > 10_000, len(kept))

class Loop:
    def __init__(self): self.me = self
    def __del__(self): print("collected")
Loop()
more = [[n] for n in range(60_000)]
"""


def test_what_was_made_at_start_is_not_looked_at_again_and_new_garbage_still_is() -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(SAYS)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True True 400000", "collected"]
