"""`holdfast up` with a fault planted in its API processes: python -m benchmarks.budgets.faulty_stack --fault NAME …

With `--fd` it is such an API process itself; without, the supervisor that starts them."""

import argparse
import sys
from pathlib import Path

from benchmarks.budgets.faults import WITHOUT_ASSERTIONS, planted

HOST = "127.0.0.1"


def main() -> int:
    arguments = _arguments()
    if arguments.fd is not None:
        return _serve(arguments.fault, arguments.fd)
    from service.stack import supervisor

    optimised = ("-O",) if arguments.fault in WITHOUT_ASSERTIONS else ()
    api = (sys.executable, *optimised, "-m", "benchmarks.budgets.faulty_stack", "--fault", arguments.fault)
    programs = supervisor.Programs(api=api)
    return supervisor.run(arguments.data, HOST, arguments.port, arguments.workers, programs)


def _serve(fault: str, fd: int) -> int:
    with planted(fault):
        from service import app

        sys.argv = [sys.argv[0], "--fd", str(fd)]
        app.main()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fault", required=True)
    parser.add_argument("--fd", type=int)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
