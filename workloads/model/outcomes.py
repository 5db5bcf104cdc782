"""Owns what the answer to a request means to the shop. An expected refusal (out of stock, declined, expired) is an
outcome of its own kind, never an error: a flash sale that says no a thousand times has worked."""

import json

OK = "ok"
PAID = "paid"
OUT_OF_STOCK = "out_of_stock"
DECLINED = "declined"
EXPIRED = "expired"
THROTTLED = "throttled"
REFUSED = "refused"
ERROR = "error"
TIMEOUT = "timeout"
DROPPED = "dropped"

ALL = (OK, PAID, OUT_OF_STOCK, DECLINED, EXPIRED, THROTTLED, REFUSED, ERROR, TIMEOUT, DROPPED)
FAILURES = frozenset({ERROR, TIMEOUT, DROPPED})
# What was asked for was not done and not decided either: a refused connection is a quick answer, and so is a 429. In
# percentiles these count as infinitely slow.
UNSERVED = FAILURES | {THROTTLED}
DONE = frozenset({OK, PAID})
# After these nobody can know from the answer whether the request took effect; only the same idempotency key can tell.
UNKNOWN = frozenset({ERROR, TIMEOUT})

BY_CODE = {
    "insufficient_stock": OUT_OF_STOCK,
    "payment_declined": DECLINED,
    "reservation_expired": EXPIRED,
}


def classify(route: str, status: int, body: bytes) -> str:
    """The outcome of an answer with `status` and decoded `body`; status 0 means that no answer came."""
    if 200 <= status < 400:
        return PAID if route == "pay" and status == 200 else OK
    if status in (402, 409):
        return BY_CODE.get(problem_code(body), REFUSED)
    if status == 429:
        return THROTTLED
    return REFUSED if 400 <= status < 500 else ERROR


def problem_code(body: bytes) -> str:
    """The stable `code` of a problem+json body, or nothing."""
    try:
        problem = json.loads(body)
    except ValueError:
        return ""
    return str(problem.get("code", "")) if isinstance(problem, dict) else ""
