"""The connected stores of a process."""

from typing import Any

from service.config import Config
from service.infra.mongo import client as mongo
from service.infra.mongo.commands import CommandRunner, ThreadedCommandRunner
from service.infra.redis import client as redis


class Stores:
    def __init__(self, client: Any, database: Any, redis: Any, runner: CommandRunner | None = None) -> None:
        """`runner` sends commands to the database: a thread of its own, unless the simulation brings another."""
        self.client, self.database, self.redis = client, database, redis
        self.runner = runner or ThreadedCommandRunner(database)

    async def close(self) -> None:
        self.client.close()
        await self.redis.aclose()


def connect(config: Config) -> Stores:
    client = mongo.connect(config)
    return Stores(client, client[config.database], redis.connect(config))
