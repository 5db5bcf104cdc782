"""The accounts that the compose file makes: what they may do is enough for the shop and nothing more. No container runs
here; the rules are taken from the files and given to real stores."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import shops
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from redis.exceptions import NoPermissionError
from whole_site import whole_site

from service import bootstrap
from service.config import Config
from service.infra.mongo.index_proof import SUFFIX
from service.orders.models import OrderStatus

CONTAINERS = Path(__file__).parents[3] / "scripts/containers"


@pytest.fixture
def limited(config: Config, mongo: MongoClient[dict[str, Any]], tmp_path: Path) -> Iterator[Config]:
    """The shop's stores under the accounts of the containers."""
    script = tmp_path / "scripts/containers/secrets.sh"
    script.parent.mkdir(parents=True)
    script.write_text((CONTAINERS / "secrets.sh").read_text())
    subprocess.run(["sh", script], check=True, timeout=10)
    users = (tmp_path / ".secrets/redis_users").read_text().splitlines()
    _, name, *rules = next(line for line in users if line.startswith("user holdfast")).split()
    listed = re.search(r"const roles = \[(.*)\]", (CONTAINERS / "mongodb-user.js").read_text())
    assert listed is not None
    roles = re.findall(r'"(\w+)"', listed[1])
    databases = [config.database, f"{config.database}{SUFFIX}"]
    granted = [{"role": role, "db": database} for database in databases for role in roles]
    mongo.admin.command("createUser", "container", pwd="pw", roles=granted)
    with redis.Redis.from_url(config.redis_url) as server:
        server.execute_command("ACL", "SETUSER", f"container-{name}", *rules)
        password = next(rule[1:] for rule in rules if rule.startswith(">"))
        yield replace(
            config,
            mongodb_uri=_as(config.mongodb_uri, "container", "pw"),
            redis_url=_as(config.redis_url, f"container-{name}", password),
        )
        server.execute_command("ACL", "DELUSER", f"container-{name}")
    mongo.admin.command("dropUser", "container")


def _as(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()


async def test_the_whole_shop_runs_under_them(limited: Config, clock: shops.MovableClock) -> None:
    async with whole_site(limited, clock) as site:
        await shops.stock(site.shop, TEA=10)
        body = {"items": [{"sku": "TEA", "quantity": 1}]}
        status, made = await site.call("POST", "/api/orders/", body, "customer")
        assert status == 201, made
        pay = {"paymentMethod": "pm_card_visa"}
        status, paid = await site.call("POST", f"/api/orders/{made['order']['id']}/pay", pay, "customer")
        assert paid["order"]["status"] == OrderStatus.PAID.value, paid
        status, ready = await site.call("GET", "/health/ready")
        assert status == 200, ready
        status, accepted = await site.call("POST", "/api/inventory/jobs/low-stock-check", {}, "staff")
        assert status == 202, accepted
        background = bootstrap.background(site.shop)
        await background.jobs.run_now("expired-cleanup")
        await background.relay.step()
        await background.close()


def test_they_may_do_nothing_else(limited: Config) -> None:
    with redis.Redis.from_url(limited.redis_url) as server:
        for command in (("CONFIG", "GET", "*"), ("ACL", "LIST"), ("SHUTDOWN", "NOSAVE")):
            with pytest.raises(NoPermissionError):
                server.execute_command(*command)
    with MongoClient[dict[str, Any]](limited.mongodb_uri) as client:
        for database, command in (("admin", "usersInfo"), ("another", "listCollections"), ("admin", "shutdown")):
            with pytest.raises(OperationFailure, match=r"not authorized|requires authentication"):
                client[database].command(command, 1)
