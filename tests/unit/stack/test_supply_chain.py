"""The audit of the lock: what holds, and that each fault is seen."""

import importlib.util
import json
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "supply_chain.py"
HASHED = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("supply_chain", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_lock_holds_and_its_bill_of_materials_is_written(audit: ModuleType, tmp_path: Path) -> None:
    pins = audit.pinned(audit.LOCK.read_text())
    assert len(pins) > 200
    assert list(audit.faults_of_lock(pins)) == []
    audit.write_sbom(tmp_path / "sbom.json")
    made = json.loads((tmp_path / "sbom.json").read_text())
    assert made["bomFormat"] == "CycloneDX"
    assert {"sanic", "motor", "redis"} <= {component["name"].lower() for component in made["components"]}


@pytest.mark.parametrize(
    ("version", "hashes", "said"),
    [
        (metadata.version("sanic"), "", "has no hash"),
        ("0.1", HASHED, "0.1 is locked and"),
    ],
)
def test_a_fault_of_the_lock_is_seen(audit: ModuleType, version: str, hashes: str, said: str) -> None:
    (fault,) = audit.faults_of_lock({"sanic": (version, hashes)})
    assert said in fault


def test_what_is_installed_and_not_locked_is_named(audit: ModuleType) -> None:
    assert "sanic is installed and not locked" in set(audit.unlocked({}))
    assert not {name for name in audit.unlocked({}) if name.startswith("holdfast ")}
