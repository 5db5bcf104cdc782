"""Why a server of our own cannot run, each with what to do about it. Read at a terminal, never sent over HTTP."""

INSTEAD = (
    "Instead, start both servers with `docker compose up -d mongodb-local redis-local` (its file says how), or "
    "point MONGODB_URI (a replica set) and REDIS_URL at running ones."
)


class EmbeddedError(Exception):
    """The root of everything this package raises on purpose."""


class StoresUnavailable(EmbeddedError):
    """There is no server binary that runs on this machine."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}\n{INSTEAD}")


class StartFailed(EmbeddedError):
    """A server was started and did not come up; the message ends with the last lines it wrote."""

    def __init__(self, name: str, reason: str, tail: str) -> None:
        super().__init__(f"{name} {reason}" + (f":\n{tail}" if tail else ""))


class DataInUse(EmbeddedError):
    """Another process owns the data directory."""


class DataUnusable(EmbeddedError):
    """The data directory cannot be made or written to."""


class DiskFull(EmbeddedError):
    """There is no room for the stores' files."""
