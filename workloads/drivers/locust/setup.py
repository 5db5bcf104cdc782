"""Owns what the users of a load test must know before they start: what is sold, who they are, how hasty they are.
Written by `holdfast load`, read by locust, and handed by its master to workers on other machines."""

import json
import os
import urllib.request
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from workloads.client.running_stack import StackError

SETUP_VARIABLE = "HOLDFAST_LOAD_SETUP"
SKUS_MAX = 2_000
PAGE_SIZE = 100
PAGES_MAX = SKUS_MAX // PAGE_SIZE + 1
CATALOGUE_SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class LoadSetup:
    """`skus` in the order of popularity; `sessions` holds `{email, accessToken, refreshToken}` per user. `think_scale`
    multiplies the time shoppers think. Times in seconds; `started_at` since the epoch."""

    scenario: str = "steady"
    users: int = 0
    run_seconds: float = 0.0
    seed: int = 1
    think_scale: float = 0.1
    hot_sku: str = ""
    skus: tuple[str, ...] = ()
    slugs: dict[str, str] = field(default_factory=dict)
    sessions: tuple[dict[str, str], ...] = ()
    staff: dict[str, str] = field(default_factory=dict)
    rows_path: str = ""
    check_path: str = ""
    started_at: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        lists = {name: tuple(document[name]) for name in ("skus", "sessions")}
        return cls(**{**document, **lists})

    def write(self, path: Path) -> None:
        """Only for its owner's eyes: it holds tokens."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(self.as_dict()))


def setup_from_environment() -> LoadSetup:
    """The setup that `holdfast load` wrote; an empty one where locust was started by hand."""
    path = os.environ.get(SETUP_VARIABLE)
    return LoadSetup.from_dict(json.loads(Path(path).read_text())) if path else LoadSetup()


def read_catalogue(url: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """SKUs on sale, the popular ones first, and the slug of each one's product; at most SKUS_MAX."""
    slugs: dict[str, str] = {}
    cursor: str | None = None
    for _ in range(PAGES_MAX):
        address = f"{url}/api/products?limit={PAGE_SIZE}&sort=popular" + (f"&cursor={cursor}" if cursor else "")
        page = _get(address)
        for product in page["items"]:
            skus = [variant["sku"] for variant in product["variants"]] or [product["sku"]]
            slugs |= dict.fromkeys(skus, product["slug"])
        cursor = page.get("nextCursor")
        if not cursor or len(slugs) >= SKUS_MAX:
            break
    return tuple(slugs), slugs


def _get(address: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(address, timeout=CATALOGUE_SECONDS_MAX) as answer:
            page: dict[str, Any] = json.load(answer)
    except (OSError, ValueError) as error:
        raise StackError(f"the catalogue cannot be read: {error}") from None
    return page
