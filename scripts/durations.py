"""Writes how long each test took, slowest first, from pytest's JUnit files: `python scripts/durations.py FOLDER`.

The result is FOLDER/durations.csv with the columns seconds and test; CI keeps it, so that a test that became slow is
seen."""

import csv
import sys
from pathlib import Path
from xml.etree import ElementTree


def durations(report: Path) -> list[tuple[float, str]]:
    """Seconds and name of each test of one JUnit file."""
    cases = ElementTree.parse(report).iter("testcase")
    return [(float(case.get("time", 0)), f"{case.get('classname')}::{case.get('name')}") for case in cases]


def main() -> int:
    folder = Path(sys.argv[1])
    rows = sorted((row for report in folder.glob("*.xml") for row in durations(report)), reverse=True)
    with (folder / "durations.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("seconds", "test"))
        table.writerows((f"{seconds:.3f}", name) for seconds, name in rows)
    sys.stderr.write(f"{len(rows)} tests, {sum(seconds for seconds, _ in rows):.0f} s in all: {folder}/durations.csv\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
