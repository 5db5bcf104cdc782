"""What every use case is given: the time, new ids and the configuration. They travel as one argument."""

from dataclasses import dataclass

from service.clock import Clock
from service.config import Config
from service.ids import Ids


@dataclass(frozen=True, slots=True)
class Runtime:
    clock: Clock
    ids: Ids
    config: Config
