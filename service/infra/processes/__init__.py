"""Child processes that cannot outlive us, and the rule by which a crashed one is started again."""

from service.infra.processes.child import ChildProcess, Command
from service.infra.processes.daemon import Daemon
from service.infra.processes.restarts import Restarts

__all__ = ["ChildProcess", "Command", "Daemon", "Restarts"]
