"""Owns that no child outlives its parent: Linux sends it a signal when the parent dies, whatever it died of."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Call in the child, before or after exec: SIGTERM comes when the parent's thread is gone. Linux only; elsewhere
    the parent's own clean-up has to do. The setting is not inherited by the child's own children."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died between the two
        os.kill(os.getpid(), signal.SIGTERM)
