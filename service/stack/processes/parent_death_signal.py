"""Runs a program that the kernel kills when its parent dies:
`python -I -S parent_death_signal.py PARENT_PID PROGRAM ARGUMENT...`

A tiny program of its own instead of a `preexec_fn`, which may deadlock in a process that has threads (every MongoDB
client has some). It imports nothing of the service, so it costs about 15 ms."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h; other systems have no such thing, and their children outlive a `kill -9`


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the signal was asked for
        sys.exit(1)
    try:
        os.execvp(program[0], program)
    except OSError as error:
        sys.exit(f"{program[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
