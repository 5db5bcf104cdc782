"""Child processes that cannot outlive us, and the rule by which a crashed one is started again."""

from service.stack.processes.child import ChildProcess, Command
from service.stack.processes.daemon import Daemon
from service.stack.processes.restarts import Restarts

__all__ = ["ChildProcess", "Command", "Daemon", "Restarts"]
