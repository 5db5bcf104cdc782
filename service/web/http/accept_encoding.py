"""Which content coding a client wants: RFC 9110 §12.5.3, parsed once per distinct header and remembered."""

import re
from collections.abc import Mapping
from functools import lru_cache

IDENTITY = "identity"
ALIASES = {"x-gzip": "gzip"}
HEADER_CHARACTERS_MAX = 512
HEADERS_REMEMBERED = 512

_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)(?![\s\S])", re.IGNORECASE)


@lru_cache(maxsize=HEADERS_REMEMBERED)
def choose(accept_encoding: str | None, offered: tuple[str, ...]) -> str:
    """The coding of `offered` (a tuple, best first) with the highest weight, or `identity`.

    A missing header means identity: any coding would be allowed, but a client that says nothing may not decode.
    Identity is acceptable unless `identity;q=0` or `*;q=0` forbids it, yet yields to any coding weighed as high.
    Where nothing acceptable is left the header is disregarded, as §12.4.1 allows, instead of answering 406.
    """
    weights = parse(accept_encoding)
    ranked = [(_weight(weights, coding), -rank, coding) for rank, coding in enumerate(offered)]
    best_weight, _, best = max(ranked, default=(0.0, 0, IDENTITY))
    if best_weight == 0 or best_weight < weights.get(IDENTITY, 0):
        return IDENTITY
    return best


@lru_cache(maxsize=HEADERS_REMEMBERED)
def forbids_identity(accept_encoding: str | None) -> bool:
    weights = parse(accept_encoding)
    return weights.get(IDENTITY, weights.get("*", 1.0)) == 0


def parse(accept_encoding: str | None) -> dict[str, float]:
    """`{coding: weight}`; a member that is not well formed is left out, an oversized header counts as absent."""
    if accept_encoding is None or len(accept_encoding) > HEADER_CHARACTERS_MAX:
        return {}
    members = (_member(part) for part in accept_encoding.split(","))
    return {coding: weight for coding, weight in members if coding and weight is not None}


def _member(part: str) -> tuple[str, float | None]:
    coding, semicolon, parameter = part.partition(";")
    name = coding.strip().lower()
    if not semicolon:
        return ALIASES.get(name, name), 1.0
    weight = _WEIGHT.match(parameter.strip())
    return ALIASES.get(name, name), float(weight[1]) if weight else None


def _weight(weights: Mapping[str, float], coding: str) -> float:
    return weights.get(coding, weights.get("*", 0.0))
