"""What is committed of a notebook is what its script says, executed with plots.

All six are executed small by `.ci/run`; here only those that no benchmark's own test covers."""

import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((REPOSITORY / "notebooks").glob("[0-9]*.py"))
EXECUTED_HERE = ("05_what_if", "06_coordinated_omission")


def test_there_are_six_notebooks() -> None:
    assert [script.stem[:2] for script in SCRIPTS] == ["01", "02", "03", "04", "05", "06"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_the_committed_notebook_is_its_script_executed_with_plots(script: Path) -> None:
    committed = nbformat.read(script.with_suffix(".ipynb"), as_version=4)
    injected = [cell for cell in committed.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    said = [cell.source.strip() for cell in jupytext.read(script).cells]
    assert [cell.source.strip() for cell in injected] == said
    outputs = [output for cell in committed.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert "Answer." in str(outputs[-1].get("data", {}).get("text/markdown"))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", EXECUTED_HERE)
def test_a_notebook_runs_small_and_its_claim_holds(name: str, tmp_path: Path) -> None:
    """Slow: a kernel is started, and the notebook measures."""
    command = [sys.executable, "scripts/notebooks.py", "--small", "--out", str(tmp_path), name]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-4_000:]


def test_no_notebook_imports_locust() -> None:
    assert [script.name for script in SCRIPTS if "import locust" in script.read_text()] == []
