"""The glossary and the code use the same words, and one public name means one thing."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("service", "workloads", "benchmarks")
ROW = re.compile(r"^\| (?P<word>[^|]+) \|[^|]+\|[^|]+\| `(?P<file>[^`]+)` `(?P<name>[^`]+)` \|$")
ROWS = [found for line in (REPOSITORY / "docs/glossary.md").read_text().splitlines() if (found := ROW.match(line))]
# Shapes of a route's own module, read beside their route: their names say what they are there.
OF_A_ROUTE = {"routes", "schemas"}


def names(path: Path) -> set[str]:
    """What a module defines at its top: classes, functions and constants."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def test_the_glossary_has_its_words_in_rows() -> None:
    assert len(ROWS) >= 25
    assert len({row["word"] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["word"].replace(" ", "-"))
def test_a_word_of_the_glossary_is_in_the_code(row: re.Match[str]) -> None:
    assert row["name"] in names(REPOSITORY / row["file"])


def test_no_public_class_of_the_service_shares_its_name_with_another() -> None:
    places = defaultdict(list)
    for path in sorted((REPOSITORY / "service").rglob("*.py")):
        if path.stem.rpartition("_")[2] in OF_A_ROUTE:
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(REPOSITORY)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
