"""`holdfast seed` leaves nobody with a published password in a shop that is open to the world."""

from types import SimpleNamespace
from typing import Any, cast

import click
import pytest

from benchmarks.seeding.command import fill
from service.config import Config


async def test_customers_with_the_published_password_are_not_made_in_production() -> None:
    shop = cast(Any, SimpleNamespace(config=Config(production=True)))
    with pytest.raises(click.UsageError, match="not in production"):
        await fill(shop, [], stock=0, users=5, orders=0, seed=1)
