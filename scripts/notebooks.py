"""Executes the notebooks from their script pairs: `python scripts/notebooks.py [--small] [--out DIR] [NAME ...]`.

Full size writes the committed pairs in `notebooks/`; CI runs them small, elsewhere. A notebook whose claim does not
hold fails, and with it this command.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
import papermill

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
CELL_SECONDS_MAX = 600


def execute(script: Path, target: Path, small: bool) -> float:
    """Seconds it took. Raises papermill's error with the failing cell."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / target.name
        jupytext.write(jupytext.read(script), plain)
        papermill.execute_notebook(
            plain,
            target,
            parameters={"small": small},
            kernel_name="python3",
            cwd=str(FOLDER.parent),
            execution_timeout=CELL_SECONDS_MAX,
            progress_bar=False,
        )
    _scrub(target)
    return time.monotonic() - started


def _scrub(notebook: Path) -> None:
    """Leaves out when and where it ran: only what it says is worth keeping."""
    document = nbformat.read(notebook, as_version=4)
    document.metadata.pop("papermill", None)
    for cell in document.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    nbformat.write(document, notebook)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="such as 01_contention; by default all")
    parser.add_argument("--small", action="store_true", help="CI size")
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for script in sorted(FOLDER.glob("[0-9]*.py")):
        if options.names and script.stem not in options.names:
            continue
        seconds = execute(script, options.out / f"{script.stem}.ipynb", options.small)
        sys.stderr.write(f"{script.stem}: {seconds:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
