"""The seal of a session: an HMAC over its id, user, role and end. What Redis says of a session is believed only when it
was this service that wrote it.

The seal names the end itself, in milliseconds since 1970, so that a session cannot be made to last by who can write."""

import base64
import hmac

from service.config import Config


class SessionSeals:
    def __init__(self, config: Config) -> None:
        self._keys = config.keys("session")

    def seal(self, session_id: str, user_id: str, role: str, ends_ms: int) -> str:
        return f"{ends_ms}.{_mac(self._keys[0], session_id, user_id, role, ends_ms)}"

    def hold(self, session_id: str, user_id: str, role: str, seal: str) -> bool:
        ends_ms, _, mac = seal.partition(".")
        given = mac.encode()
        return any(
            hmac.compare_digest(given, _mac(key, session_id, user_id, role, ends_ms).encode()) for key in self._keys
        )


def ends_of(seal: str) -> int:
    """When a session ends in any case, from a seal that holds."""
    return int(seal.partition(".")[0])


def _mac(key: bytes, session_id: str, user_id: str, role: str, ends_ms: int | str) -> str:
    raw = hmac.digest(key, f"{session_id}\0{user_id}\0{role}\0{ends_ms}".encode(), "sha256")
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
