"""Forged access tokens without end, from one seed: what RFC 8725 and the CVEs of JWT libraries warn of."""

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

ALGORITHMS = [
    "none",
    "None",
    "NONE",
    "nOnE",
    "",
    "HS384",
    "HS512",
    "RS256",
    "ES256",
    "PS256",
    "EdDSA",
    "HS256 ",
    "hs256",
]
TYPES = ["JWT", "", "at+JWT ", "refresh", None, 1, ["at+jwt"], "dpop+jwt", "id+jwt"]
HEADERS: list[dict[str, Any]] = [
    {"kid": "../../../../dev/null"},
    {"kid": "' UNION SELECT 'key"},
    {"kid": {"$gt": ""}},
    {"jku": "http://127.0.0.1/jwks.json"},
    {"x5u": "http://127.0.0.1/cert.pem"},
    {"jwk": {"kty": "oct", "k": "AAAA"}},
    {"crit": ["exp"], "exp": 0},
    {"b64": False, "crit": ["b64"]},
    {"zip": "DEF"},
    {"cty": "JWT"},
]
VALUES: list[Any] = [None, "", 0, -1, 1.5, True, [], {}, {"$ne": None}, ["holdfast-api"], "x" * 3_000, "\0", "admin"]
CLAIMS = ["iss", "aud", "sub", "sid", "jti", "iat", "exp"]


def encode(part: Any) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def sign(header: Any, claims: Any, key: bytes, digest: str = "sha256") -> str:
    signed = f"{encode(header)}.{encode(claims)}"
    return f"{signed}.{encode(hmac.new(key, signed.encode(), digest).digest())}"


class Forger:
    """Starts from one good token. `key` is the service's own: a token signed with it must still be wrong in itself."""

    def __init__(self, good: str, key: bytes, source: random.Random) -> None:
        self._good, self._key, self._random = good, key, source
        self._head, self._body, self._signature = good.split(".")
        self._header: dict[str, Any] = self._decoded(self._head)
        self._claims: dict[str, Any] = self._decoded(self._body)
        self._ways: list[Callable[[], str]] = [
            self.wrong_algorithm,
            self.unsigned,
            self.wrong_key,
            self.wrong_type,
            self.extra_header,
            self.claim_missing,
            self.claim_of_another_kind,
            self.expired,
            self.bits_flipped,
            self.truncated,
            self.parts_mixed,
            self.noise,
            self.claims_changed_under_the_old_signature,
            self.not_an_object,
        ]

    def __iter__(self) -> Iterator[str]:
        while True:
            forged = self._random.choice(self._ways)()
            if forged != self._good:
                yield forged

    def wrong_algorithm(self) -> str:
        header = self._header | {"alg": self._random.choice(ALGORITHMS)}
        digest = self._random.choice(["sha256", "sha384", "sha512"])
        return sign(header, self._claims, self._key, digest)

    def unsigned(self) -> str:
        header = self._header | {"alg": self._random.choice(ALGORITHMS[:5])}
        return f"{encode(header)}.{encode(self._claims)}." + self._random.choice(["", self._signature, "AA"])

    def wrong_key(self) -> str:
        keys = [b"", b"secret", b"\0" * 32, self._key[:-1], self._key + b"\1", hashlib.sha256(self._key).digest()]
        return sign(self._header, self._claims, self._random.choice([*keys, self._random.randbytes(32)]))

    def wrong_type(self) -> str:
        return sign(self._header | {"typ": self._random.choice(TYPES)}, self._claims, self._key)

    def extra_header(self) -> str:
        return sign(self._header | self._random.choice(HEADERS), self._claims, self._key)

    def claim_missing(self) -> str:
        gone = self._random.choice(CLAIMS)
        return sign(self._header, {name: value for name, value in self._claims.items() if name != gone}, self._key)

    def claim_of_another_kind(self) -> str:
        name = self._random.choice(["iss", "aud", "sub", "sid", "exp"])
        value = self._random.choice(
            [value for value in VALUES if not (name in {"sub", "sid"} and isinstance(value, str))]
        )
        if name == "aud" and value == ["holdfast-api"]:
            value = ["another-api"]
        return sign(self._header, self._claims | {name: value}, self._key)

    def expired(self) -> str:
        ago = self._random.choice([0, 1, 10, 10**6, 10**9, 10**12])
        return sign(self._header, self._claims | {"exp": self._claims["iat"] - ago}, self._key)

    def bits_flipped(self) -> str:
        raw = bytearray(self._good.encode())
        for _ in range(self._random.randint(1, 4)):
            position = self._random.randrange(len(raw) - 1)  # the last character's low bits are padding
            raw[position] ^= 1 << self._random.randrange(7)
        return raw.decode("ascii", "replace")

    def truncated(self) -> str:
        return self._good[: self._random.randrange(len(self._good) - 1)]

    def parts_mixed(self) -> str:
        parts = [self._head, self._body, self._signature, "", "."]
        return ".".join(self._random.choices(parts, k=self._random.randint(0, 6)))

    def noise(self) -> str:
        return self._random.randbytes(self._random.randint(0, 400)).decode("latin-1")

    def claims_changed_under_the_old_signature(self) -> str:
        claims = self._claims | {self._random.choice(["sub", "sid", "role"]): self._random.choice(["admin", "u2", ""])}
        return f"{self._head}.{encode(claims)}.{self._signature}"

    def not_an_object(self) -> str:
        body: Any = self._random.choice([[], "text", 12, None, b"\xff\xfe", b"[" * 2_000, b'{"exp": 1e999}'])
        return sign(self._header, body, self._key)

    @staticmethod
    def _decoded(part: str) -> Any:
        return json.loads(base64.urlsafe_b64decode(part + "=="))
