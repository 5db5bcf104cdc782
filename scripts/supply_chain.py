#!/usr/bin/env python3
"""What this software is made of: a CycloneDX bill of materials of the environment, and an audit of the lock.

Without a network: each requirement has a hash, is installed in the version that is locked, has a licence that is known
here, nothing is installed that is not locked, and every image is pinned by digest. With `--online` pip-audit asks the
OSV database for known vulnerabilities as well; when it does not answer, that is said and is no failure.

    .venv/bin/python scripts/supply_chain.py --sbom runs/sbom.json      # exit 1 if something does not hold
"""

import argparse
import importlib.util
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)(?: *;[^\\\n]*)?((?: \\\n +--hash=\S+)*)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
KNOWN_LICENCES = re.compile(
    r"\b(MIT|BSD|Apache|ISC|PSF|Python Software|MPL|Mozilla|LGPL|Unlicense|Zlib|HPND|0BSD|CC0|Public Domain|SSPL|"
    r"Server Side|Redis Source|RSAL|Boost|CNRI|ZPL|Zope|EPL|Eclipse)",
    re.IGNORECASE,
)
AUDIT_SECONDS_MAX = 120


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sbom", type=Path, default=Path("runs/sbom.json"))
    asked = parser.parse_args()
    asked.sbom.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-format", "JSON", "-o", str(asked.sbom)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    pins = PIN.findall(LOCK.read_text())
    faults = [fault for name, version, hashes in pins for fault in faults_of(name, version, hashes)]
    say(f"{len(pins)} requirements locked, {len(faults)} faults; bill of materials in {asked.sbom}")
    for fault in faults:
        say(f"  {fault}")
    vulnerable = look_up()
    return int(bool(faults) or vulnerable)


def faults_of(name: str, version: str, hashes: str) -> list[str]:
    faults = [] if HASH.search(hashes) else [f"{name} {version} has no hash"]
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:  # for another system or Python
        return faults
    if found.version != version:
        faults.append(f"{name} {version} is locked and {found.version} is installed")
    if not KNOWN_LICENCES.search(licence_of(found)):
        faults.append(f"{name} {version} has a licence that is not known here: {licence_of(found)[:80]!r}")
    return faults


def licence_of(found: metadata.Distribution) -> str:
    about = found.metadata
    classified = [value for value in about.get_all("Classifier", []) if value.startswith("License ::")]
    return " ".join(
        [about.get("License-Expression", ""), *classified, (about.get("License", "") or "")[:2_000]]
    ).strip()


def look_up() -> bool:
    """Whether a known vulnerability was found."""
    if importlib.util.find_spec("pip_audit") is None:
        say("vulnerabilities: not looked up, pip-audit is not installed")
        return False
    command = [sys.executable, "-m", "pip_audit", "-r", str(LOCK), "--no-deps", "--disable-pip"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=AUDIT_SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired:
        say("vulnerabilities: not looked up, the database did not answer")
        return False
    if ended.returncode and "Found" not in ended.stderr:
        say("vulnerabilities: not looked up, the database did not answer")
        return False
    say(f"vulnerabilities: {ended.stderr.strip()}")
    return ended.returncode != 0


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
