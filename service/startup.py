"""How a process of ours begins: with settings that hold, or not at all."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from service import config
from service.config import Config, ConfigError
from service.infra import log as logs

log = logging.getLogger(__name__)
EXIT_USAGE = 3


def configured() -> Config:
    """The settings of this process, its log set up by them. Ends the process with a sentence if they do not hold."""
    try:
        settings = config.load()
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - there is no log yet
        sys.exit(EXIT_USAGE)
    logs.configure(settings)
    for sentence in (*settings.warnings, *config.misspelt(os.environ)):
        log.warning(sentence)
    return settings


@contextmanager
def refusals() -> Iterator[None]:
    """What this version refuses to run on ends the process with a sentence, too."""
    try:
        yield
    except ConfigError as error:
        log.critical(error)
        sys.exit(EXIT_USAGE)
