"""How often each class of routes may be called, per client and per account, and what happens while Redis is down."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.errors import TooMany
from service.web.security.gate import RateLimitResult


@dataclass(frozen=True, slots=True)
class Window:
    per: str  # "client" or "account"
    quota: int
    window_seconds: int


@dataclass(frozen=True, slots=True)
class LimitClass:
    """`open_when_down`: whether callers without credentials are still served while Redis cannot count them."""

    windows: tuple[Window, ...]
    open_when_down: bool


CLASSES: Mapping[str, LimitClass] = {
    "default": LimitClass((Window("client", 1_200, 60), Window("account", 600, 60)), True),
    "read": LimitClass((Window("client", 1_200, 60), Window("account", 1_200, 60)), True),
    "stream": LimitClass((Window("client", 120, 60), Window("account", 60, 60)), True),
    "webhook": LimitClass((Window("client", 1_200, 60),), True),
    "checkout": LimitClass((Window("client", 240, 60), Window("account", 60, 60)), False),
    "login": LimitClass((Window("client", 30, 60), Window("client", 300, 3_600)), False),
    "register": LimitClass((Window("client", 20, 60), Window("client", 200, 86_400)), False),
    "reset": LimitClass((Window("client", 10, 60), Window("client", 60, 3_600)), False),
    "refresh": LimitClass((Window("client", 120, 60),), False),
    "guest": LimitClass((Window("client", 60, 60), Window("client", 2_000, 86_400)), True),
    "guess": LimitClass((Window("client", 60, 3_600), Window("account", 10, 3_600)), False),
    "key-guess": LimitClass((Window("client", 60, 3_600),), False),
    "lines": LimitClass((Window("client", 8_000, 60), Window("account", 2_000, 60)), False),
    "file": LimitClass((Window("client", 60, 60), Window("account", 20, 60)), False),
    "account": LimitClass((Window("client", 60, 60), Window("account", 20, 60)), False),
}


LINES_FREE = 20  # of a request: what most people order costs no second look


class RateLimits:
    """The classes at one scale, with everything that can be prepared prepared."""

    def __init__(self, scale: float, classes: Mapping[str, LimitClass] = CLASSES) -> None:
        self._prepared = {name: Prepared(name, limit, scale) for name, limit in classes.items()}

    def of(self, name: str) -> "Prepared":
        return self._prepared[name]

    def __contains__(self, name: str) -> bool:
        return name in self._prepared


class Prepared:
    """One class: its limits for a caller, and its header fields (draft-ietf-httpapi-ratelimit-headers)."""

    __slots__ = ("_account", "_client", "_heads", "_names", "always", "open_when_down", "quota_per_minute")

    def __init__(self, name: str, limit: LimitClass, scale: float) -> None:
        self.open_when_down = limit.open_when_down
        first = limit.windows[0]
        self.quota_per_minute = max(1, round(first.quota * scale * 60 / first.window_seconds))
        scaled = [(w.per, max(1, round(w.quota * scale)), w.window_seconds) for w in limit.windows]
        self._client = [(f"limit:{name}:{w}:", q, w * 1_000) for per, q, w in scaled if per == "client"]
        self.always = 3 * len(self._client)  # how many of the parts of `limits` are the client's
        self._account = [(f"limit:{name}:{w}:user:", q, w * 1_000) for per, q, w in scaled if per == "account"]
        assert self._client, f"{name} must limit clients: a caller without an account is counted too"
        ordered = sorted(scaled, key=lambda entry: entry[0] == "account")
        self._names = tuple(f"{name}-{per}-{window}" for per, _, window in ordered)
        policies = (f'"{n}";q={q};w={w}' for n, (_, q, w) in zip(self._names, ordered, strict=True))
        policy = f"ratelimit-policy: {', '.join(policies)}\r\n".encode("ascii")
        self._heads = [policy + f'ratelimit: "{n}";'.encode("ascii") for n in self._names]

    def limits(self, address: str, user_id: str) -> tuple[str | int, ...]:
        """As the gate counts them: key, quota, window in ms of each."""
        asked: list[str | int] = []
        for prefix, quota, window_ms in self._client:
            asked += (prefix + address, quota, window_ms)
        if user_id:
            for prefix, quota, window_ms in self._account:
                asked += (prefix + user_id, quota, window_ms)
        return tuple(asked)

    def is_of_client(self, refused: int) -> bool:
        """Whether the limit with that number, as the gate counts them, is the client's and not its account's."""
        return 0 < refused <= len(self._client)

    def head(self, answer: RateLimitResult) -> bytes:
        """Both header fields; RateLimit speaks of the limit that will refuse first."""
        return b"%br=%d;t=%d\r\n" % (self._heads[answer.tightest - 1], answer.remaining, answer.reset_seconds)

    def refusal(self, refused: int, reset_seconds: int) -> TooMany:
        return TooMany(f"The limit {self._names[refused - 1]} is used up", retry_after_seconds=max(1, reset_seconds))
