"""How a process of ours begins: with settings that hold, or not at all."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from service import config
from service.config import Config, ConfigError
from service.infra import log as logs
from service.infra.mongo.processes import unique_name

log = logging.getLogger(__name__)
EXIT_USAGE = 3


def configured() -> Config:
    """The settings of this process, its log set up by them, under a name that no other process has. Ends the process
    with a sentence if they do not hold."""
    try:
        config.read_secret_files(os.environ)
        settings = named(config.load())
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - there is no log yet
        sys.exit(EXIT_USAGE)
    logs.configure(settings)
    for sentence in (*settings.warnings, *config.misspelt(os.environ)):
        log.warning(sentence)
    return settings


def named(settings: Config) -> Config:
    return replace(settings, app_name=unique_name(settings.app_name))


@contextmanager
def refusals() -> Iterator[None]:
    """What this version refuses to run on ends the process with a sentence, too."""
    try:
        yield
    except ConfigError as error:
        log.critical(error)
        sys.exit(EXIT_USAGE)
