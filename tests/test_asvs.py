"""The table of ASVS 5.0, level 2: whole, and every test it names exists."""

import re
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TABLE = TESTS.parent / "docs" / "operating" / "asvs.md"
ROW = re.compile(r"^\| (\d+\.\d+\.\d+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
ROWS: list[tuple[str, str, str]] = ROW.findall(TABLE.read_text())
# How many requirements of levels 1 and 2 the standard has a chapter.
CHAPTERS = {
    **{"1": 27, "2": 11, "3": 19, "4": 10, "5": 9, "6": 35, "7": 18, "8": 7, "9": 7},
    **{"10": 29, "11": 14, "12": 9, "13": 13, "14": 9, "15": 13, "16": 16, "17": 7},
}


@pytest.fixture(scope="module")
def known() -> set[str]:
    return {name for path in TESTS.rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}


def test_every_requirement_is_listed_once() -> None:
    ids = [number for number, _, _ in ROWS]
    assert [number for number, count in Counter(ids).items() if count > 1] == []
    assert dict(Counter(number.partition(".")[0] for number in ids)) == CHAPTERS
    assert len(ids) == 253


def test_every_test_that_is_named_exists(known: set[str]) -> None:
    named = {(number, name) for number, _, held in ROWS for name in re.findall(r"`(test_\w+)`", held)}
    assert [(number, name) for number, name in sorted(named) if name not in known] == []
    assert len(named) > 150
