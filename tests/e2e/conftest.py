"""The stack the contract is checked on, and goods to sell in it. Nothing here imports the service. Both stacks end with
this folder, since one that stays takes its share of the machine until all other tests are done."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import seen_commands
from api import Api
from selling import Sell, seller
from stacks import Stack, running


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Its MongoDB keeps a record of every command: `test_queries.py` looks at them when all else is done."""
    with running(tmp_path_factory.mktemp("stack"), {}) as opened:
        seen_commands.record(opened.data)
        yield opened


@pytest.fixture(scope="package")
def hasty(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """As `stack`, where everything ends soon: holds after a second, rate limits after their documented number."""
    import json

    stores = json.loads((stack.data / "stack.json").read_text())
    settings = {
        "MONGODB_URI": stores["mongodbUri"],
        "REDIS_URL": stores["redisUrl"].rsplit("/", 1)[0] + "/1",
        "HOLDFAST_DATABASE": "hasty",
        "HOLDFAST_RESERVATION_TTL_SECONDS": "1",
        "HOLDFAST_PAYMENT_UNKNOWN_AFTER_SECONDS": "1",
        "HOLDFAST_MONGO_TIMEOUT_SECONDS": "1",
        "HOLDFAST_RATE_LIMIT_SCALE": "1",
    }
    with running(tmp_path_factory.mktemp("hasty"), settings) as opened:
        yield opened


@pytest.fixture(scope="package")
def nobody(stack: Stack) -> Api:
    return stack.nobody


@pytest.fixture(scope="package")
def admin(stack: Stack) -> Api:
    return stack.admin


@pytest.fixture(scope="package")
def staff(stack: Stack) -> Api:
    return stack.staff()


@pytest.fixture
def customer(nobody: Api) -> Api:
    return nobody.newcomer()


@pytest.fixture
def sell(staff: Api) -> Sell:
    return seller(staff)


@pytest.fixture(scope="package")
def repository() -> Path:
    return Path(__file__).parents[2]
