"""A long-lived child under one name: started, asked about, started again after it has died."""

from abc import ABC, abstractmethod

from service.stack.processes.child import ChildProcess, Command


class Daemon(ABC):
    name: str
    _process: ChildProcess | None = None

    @abstractmethod
    def command(self) -> Command:
        """What to run; asked anew at every start."""

    def start(self) -> None:
        self._process = ChildProcess(self.command())

    @property
    def started(self) -> bool:
        return self._process is not None

    @property
    def process(self) -> ChildProcess:
        assert self._process is not None, f"{self.name} was not started"
        return self._process
