"""The closed set of error kinds. A domain's errors subclass one kind each and carry a stable `code`.

`web/problems.py` is the one table that turns a kind into an HTTP status. A bug is an assert, never one of these."""

from collections.abc import Mapping
from typing import Any, ClassVar


class Problem(Exception):
    """A refusal with a stable code. `extra` holds the members a client can act on, such as `shortages`."""

    code: ClassVar[str] = "problem"
    title: ClassVar[str] = "The request cannot be carried out"
    headers: ClassVar[Mapping[str, str]] = {}  # what the answer says beside the body

    def __init__(self, detail: str = "", *, retry_after_seconds: int | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.retry_after_seconds = retry_after_seconds
        self.extra = extra
        self.replayed = False


class Malformed(Problem):
    code, title = "malformed", "The request cannot be read"


class Unauthenticated(Problem):
    code, title = "unauthenticated", "Credentials are missing or not valid"


class PaymentRequired(Problem):
    code, title = "payment_required", "The payment did not succeed"


class Forbidden(Problem):
    code, title = "forbidden", "You may not do this"


class NotFound(Problem):
    code, title = "not_found", "There is nothing here"


class NotAllowed(Problem):
    code, title = "method_not_allowed", "This method is not offered here"


class TooSlow(Problem):
    code, title = "request_timeout", "The request did not arrive in time"


class Conflict(Problem):
    code, title = "conflict", "The current state does not allow this"


class PreconditionFailed(Problem):
    code, title = "precondition_failed", "The resource has changed since you read it"


class TooLarge(Problem):
    code, title = "too_large", "The request is larger than allowed"


class Unsupported(Problem):
    code, title = "unsupported_media_type", "Send application/json"


class Invalid(Problem):
    """`errors` is a list of {"path", "message"}."""

    code, title = "invalid", "Some fields are not valid"

    def __init__(self, detail: str = "", *, errors: list[dict[str, str]] | None = None, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.extra["errors"] = errors or [{"path": "", "message": self.detail}]


class TooMany(Problem):
    code, title = "rate_limited", "Too many requests"


class Unavailable(Problem):
    code, title = "unavailable", "A store is not reachable; try again shortly"


KINDS: dict[str, type[Problem]] = {kind.__name__: kind for kind in Problem.__subclasses__()}


def remember(problem: Problem) -> dict[str, Any]:
    """A refusal as data, so that a repeated request can be refused the same way."""
    kind = next(base for base in type(problem).__mro__ if base.__name__ in KINDS)
    return {
        "refused": problem.code,
        "kind": kind.__name__,
        "title": problem.title,
        "detail": problem.detail,
        "extra": problem.extra,
    }


def revive(outcome: Mapping[str, Any]) -> Problem:
    """The refusal that `remember` kept, marked as replayed."""
    members = {"code": outcome["refused"], "title": outcome["title"]}
    problem = type("Remembered", (KINDS[outcome["kind"]],), members)(outcome["detail"])
    assert isinstance(problem, Problem)
    problem.extra, problem.replayed = dict(outcome["extra"]), True
    return problem
