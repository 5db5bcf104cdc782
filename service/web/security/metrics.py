"""Security events as numbers: what was refused, and how often."""

from prometheus_client import CollectorRegistry, Counter

EVENTS = frozenset(
    {
        "bad_api_key",
        "bad_credentials",
        "bad_refresh_token",
        "bad_token",
        "csrf_failed",
        "duplicate_key",
        "forbidden",
        "forged_session",
        "key_not_allowed",
        "login_locked",
        "malformed",
        "operator_refused",
        "rate_limited",
        "request_timeout",
        "scope_missing",
        "token_reused",
        "too_deep",
        "too_large",
        "unauthenticated",
        "wrong_password",
    }
)


class SecurityMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        counter = Counter(
            "holdfast_security_events", "Requests refused for security, by problem code", ["event"], registry=registry
        )
        self._counters = {event: counter.labels(event) for event in sorted(EVENTS)}
        self.connections_refused = Counter(
            "holdfast_connections_refused", "Connections above the bounds", registry=registry
        )
        self.gate_failures = Counter(
            "holdfast_gate_failures", "Batches of requests that Redis did not answer for", registry=registry
        )

    def count(self, event: str) -> None:
        """Other codes are no security events."""
        counter = self._counters.get(event)
        if counter is not None:
            counter.inc()
