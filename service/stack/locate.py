"""How a command finds the stack it acts on: the environment first, then what `holdfast up` left in its directory."""

import os
from dataclasses import replace
from pathlib import Path

import click

from service import config
from service.config import Config
from service.infra.mongo.client import UNREACHABLE
from service.infra.redis.client import UNREACHABLE as REDIS_UNREACHABLE
from service.stack.folder import StackFolder

EXIT_INVALID = 2
STORES_UNREACHABLE = (*UNREACHABLE, *REDIS_UNREACHABLE)


class NoStack(click.ClickException):
    """No stack to act on, or one that does not answer."""

    exit_code = EXIT_INVALID


def configuration(data: Path) -> Config:
    """The configuration of the stack running in `data`. Raises NoStack, or ConfigError."""
    settings = config.load()
    folder = StackFolder(data)
    note = folder.read()
    if note is None and "MONGODB_URI" not in os.environ:
        raise NoStack(f"no stack is running in {data}: start one with `holdfast up`, or set MONGODB_URI and REDIS_URL")
    if note is None:
        return settings
    return replace(
        settings,
        mongodb_uri=os.environ.get("MONGODB_URI", note["mongodbUri"]),
        redis_url=os.environ.get("REDIS_URL", note["redisUrl"]),
        currency=note.get("currency", settings.currency),  # what it sells in, whatever this terminal says
        secret=os.environ.get("HOLDFAST_SECRET", folder.secret()),
    )
