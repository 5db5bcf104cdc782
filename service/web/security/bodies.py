"""How much of a request's body is read: by what its route takes, and within one budget for all connections.

A body is in memory as a whole before any layer sees the request, so both bounds are held while it is read."""

from dataclasses import dataclass

from sanic import Request

from service.config import Config
from service.errors import Unavailable

LARGE = frozenset({"bulk", "file"})
BULK_SHARE = 0.5  # of the budget: large bodies leave the rest to the others


class Bodies:
    """The bytes of bodies that this process holds right now."""

    def __init__(self, config: Config) -> None:
        self._bytes_max = {
            "small": config.request_body_auth_bytes,
            "default": config.request_body_default_bytes,
            "bulk": config.request_body_max_bytes,
            "file": config.request_body_file_bytes,
        }
        self._budget = config.request_bytes_in_flight_max
        self.held, self.held_bulk = 0, 0

    def begin(self, request: Request) -> "Body":
        operation = None if request.route is None else getattr(request.route.ctx, "operation", None)
        size = "default" if operation is None else operation.body_size
        return Body(self, self._bytes_max[size], bulk=size in LARGE)

    def take(self, count: int, *, bulk: bool) -> None:
        """Raises Unavailable when the budget is used up."""
        if self.held + count > self._budget or (bulk and self.held_bulk + count > self._budget * BULK_SHARE):
            raise Unavailable("Too much is being uploaded right now", retry_after_seconds=1)
        self.held += count
        self.held_bulk += count * bulk

    def give_back(self, count: int, *, bulk: bool) -> None:
        self.held -= count
        self.held_bulk -= count * bulk


@dataclass(slots=True)
class Body:
    bodies: Bodies
    bytes_max: int
    bulk: bool
    held: int = 0

    def grow(self, count: int) -> None:
        self.bodies.take(count, bulk=self.bulk)
        self.held += count

    def forget(self) -> None:
        self.bodies.give_back(self.held, bulk=self.bulk)
        self.held = 0
