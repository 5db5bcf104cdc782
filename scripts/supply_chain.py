#!/usr/bin/env python3
"""What this software is made of: a CycloneDX bill of materials of the environment, and an audit of the lock.

Without a network: each requirement has a hash, is installed in the version that is locked and under a licence that is
known here, and nothing is installed that is not locked. With `--online` pip-audit also asks the OSV database for known
vulnerabilities; when that does not answer, it is said, and is no failure.

    .venv/bin/python scripts/supply_chain.py --sbom runs/sbom.json      # exit 1 if something does not hold
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

LOCK = Path(__file__).parents[1] / "requirements.lock"
OURS = {"holdfast"}
HASH = re.compile(r"sha256:[0-9a-f]{64}")
KNOWN_LICENCES = re.compile(
    r"\b(MIT|BSD|Apache|ISC|PSF|Python Software|MPL|Mozilla|LGPL|Unlicense|Zlib|HPND|0BSD|CC0|Public Domain|SSPL|"
    r"Server Side|Redis Source|RSAL|Boost|CNRI|ZPL|Zope|EPL|Eclipse)",
    re.IGNORECASE,
)
# Those whose metadata do not say enough.
LICENCES_READ = {
    "axe-playwright-python": "MIT, in its repository",
    "localstripe": "GPL-3.0: a tool of the tests, run as a program of its own and not shipped",
    "taskiq-dependencies": "MIT, in its repository",
}
ANSWER_SECONDS_MAX = 60


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sbom", type=Path, default=Path("runs/sbom.json"))
    parser.add_argument("--online", action="store_true", help="ask the OSV database for known vulnerabilities")
    asked = parser.parse_args()
    write_sbom(asked.sbom)
    pins = pinned(LOCK.read_text())
    faults = [*faults_of_lock(pins), *unlocked(pins)]
    say(f"{len(pins)} requirements locked, {len(faults)} faults; bill of materials in {asked.sbom}")
    for fault in faults:
        say(f"  {fault}")
    vulnerable = asked.online and look_up()
    return int(bool(faults) or vulnerable)


def write_sbom(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "cyclonedx_py",
        "environment",
        "--no-validate",
        "--output-reproducible",
        "--of",
        "JSON",
    ]
    subprocess.run([*command, "-o", str(path)], check=True, stdout=subprocess.DEVNULL)


def pinned(lock: str) -> dict[str, tuple[str, str]]:
    """Version and hashes of what is locked for this system and Python, by name."""
    found = {}
    for line in lock.replace("\\\n", "").splitlines():
        if "==" in line and not line.lstrip().startswith("#"):
            asked, *hashes = line.split("--hash=")
            requirement = Requirement(asked.strip())
            if requirement.marker is None or requirement.marker.evaluate():
                found[canonical(requirement.name)] = (str(requirement.specifier).removeprefix("=="), " ".join(hashes))
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def faults_of_lock(pins: dict[str, tuple[str, str]]) -> Iterator[str]:
    for name, (version, hashes) in pins.items():
        if not HASH.search(hashes):
            yield f"{name} {version} has no hash"
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            yield f"{name} {version} is locked and not installed"
            continue
        if found.version != version:
            yield f"{name} {version} is locked and {found.version} is installed"
        if name not in LICENCES_READ and not KNOWN_LICENCES.search(licence_of(found)):
            yield f"{name} {version} has a licence that is not known here: {licence_of(found)[:80]!r}"


def unlocked(pins: dict[str, tuple[str, str]]) -> Iterator[str]:
    installed = {canonical(found.name) for found in metadata.distributions()}
    for name in sorted(installed - pins.keys() - OURS):
        yield f"{name} is installed and not locked"


def licence_of(found: metadata.Distribution) -> str:
    about = found.metadata
    classified = [value for value in about.get_all("Classifier", []) if value.startswith("License ::")]
    expressions, texts = (about.get_all(name, [])[:1] for name in ("License-Expression", "License"))
    return " ".join([*expressions, *classified, *(text[:2_000] for text in texts)]).strip()


def look_up() -> bool:
    """Whether a known vulnerability was found."""
    command = [sys.executable, "-m", "pip_audit", "-s", "osv", "-r", str(LOCK), "--no-deps", "--disable-pip"]
    command += ["--timeout", "10", "--progress-spinner", "off"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired:
        say("vulnerabilities: not looked up, the database did not answer")
        return False
    found = re.search(r"Found \d+ known vulnerabilit.*|No known vulnerabilities.*", ended.stderr)
    say(f"vulnerabilities: {found[0] if found else 'not looked up, the database did not answer'}")
    if found and ended.returncode:
        say(ended.stdout)
    return bool(found) and ended.returncode != 0


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
