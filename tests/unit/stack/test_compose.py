"""The compose file names only what exists: images that the Dockerfile builds, programs and settings that we have."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service import config
from service.stack.embedded.errors import INSTEAD

REPOSITORY = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def test_everything_that_was_promised_is_there() -> None:
    assert {*SERVICES} == {
        *("mongodb", "redis", "api", "worker", "scheduler", "locust-master", "locust-worker", "jupyter", "tools"),
    }


@pytest.mark.parametrize("name", OURS)
def test_an_image_of_ours_is_a_stage_of_the_dockerfile(name: str) -> None:
    stages = re.findall(r"^FROM \S+ AS (\S+)$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    assert OURS[name]["build"]["target"] in stages


@pytest.mark.parametrize("name", OURS)
def test_a_command_starts_something_that_exists(name: str) -> None:
    match OURS[name]["command"]:
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module)
        case ["locust", "-f", file, *_]:
            assert (REPOSITORY / file).is_file()
        case ["holdfast", *_]:
            assert OURS[name]["build"]["target"] == "load", "the image of the service has no workbench"
        case command:
            assert command[:2] == ["jupyter", "lab"]


@pytest.mark.parametrize("name", OURS)
def test_a_setting_in_the_environment_is_one_that_the_service_reads(name: str) -> None:
    known = {f"HOLDFAST_{field.upper()}" for field in config.Config.__dataclass_fields__} | {"MONGODB_URI", "REDIS_URL"}
    assert {*OURS[name].get("environment", {})} <= known


@pytest.mark.parametrize("name", OURS)
def test_our_containers_run_without_privileges(name: str) -> None:
    assert OURS[name]["cap_drop"] == ["ALL"]
    assert OURS[name]["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_published_port_is_open_to_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_what_a_container_waits_for_exists() -> None:
    waited_for = {other for service in SERVICES.values() for other in service.get("depends_on", {})}
    assert waited_for <= {*SERVICES}


def test_the_error_that_points_here_names_services_of_this_file() -> None:
    named = re.search(r"docker compose up -d ([\w ]+)`", INSTEAD)
    assert named
    assert {*named.group(1).split()} <= {*SERVICES}
