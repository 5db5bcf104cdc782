"""Owns `holdfast torture`: the real stack under load while its processes, stores and connections are broken, round
after round, each one audited. A client like any other: it knows the HTTP API, the command line and stack.json."""

from workloads.torture.command import torture

__all__ = ["torture"]
