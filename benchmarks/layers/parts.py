"""Whose work a moment of the API process is: told by its innermost function that belongs to somebody.

The connection writes the heads of answers, which is Sanic's work on a bare route: its share is more than it adds."""

from types import FrameType

LOOP, SANIC, DRIVERS, THREADS = "event loop and kernel", "Sanic", "motor, pymongo, bson", "threads of the drivers"
LAYERS = frozenset(
    {
        *("authorize", "client_address", "connection", "cookies", "cors", "credentials", "csrf", "fallback_limit"),
        *("gate", "headers", "layers", "rate_limit", "request_id", "sanitize"),
    }
)
SAME_JOB = {
    "service.infra.redis.script_connection": "service.web.security.gate",
    "service.auth.tokens": "service.web.security.credentials",
}
SHARED = "service.infra.batcher"  # calls that wait together: of the gate and of the stock, whoever is further out


def part_of(frame: FrameType | None) -> str:
    """The file of a layer ("web/security/gate.py") or of the route, or a name above. A library counts for who calls it,
    except for what every request passes: Sanic's own way from the wire to the handler and back, and the driver."""
    shared = False
    while frame is not None:
        module = SAME_JOB.get(name := frame.f_globals.get("__name__", ""), name)
        if module == SHARED:
            shared = True
        elif module.startswith("service.") and module != "service.app":
            return _file(module)
        elif module.startswith(("sanic.http", "sanic.server", "sanic.app")):
            return SANIC
        elif module.startswith(("motor", "pymongo", "bson", "concurrent.futures")):
            return DRIVERS
        frame = frame.f_back
    return _file(SHARED) if shared else LOOP


def is_layer(part: str) -> bool:
    folder, _, file = part.rpartition("/")
    return folder in {"web/http", "web/security"} and file.removesuffix(".py") in LAYERS


def _file(module: str) -> str:
    return module.removeprefix("service.").replace(".", "/") + ".py"
