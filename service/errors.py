"""The closed set of error kinds. A domain's errors subclass one kind each and carry a stable `code`.

`web/problems.py` is the one table that turns a kind into an HTTP status. A bug is an assert, never one of these."""

from typing import Any, ClassVar


class Problem(Exception):
    """A refusal with a stable code. `extra` holds the members a client can act on, such as `shortages`."""

    code: ClassVar[str] = "problem"
    title: ClassVar[str] = "The request cannot be carried out"

    def __init__(self, detail: str = "", *, retry_after_seconds: int | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.retry_after_seconds = retry_after_seconds
        self.extra = extra


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
