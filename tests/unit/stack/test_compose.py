"""The compose file names only what exists: images that the Dockerfile builds, programs and settings that we have."""

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service import config
from service.setting_rules import variable
from service.stack.embedded.errors import INSTEAD

REPOSITORY = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def test_everything_that_was_promised_is_there() -> None:
    assert {*SERVICES} == {
        *("mongodb", "redis", "api", "worker", "scheduler", "locust-master", "locust-worker", "jupyter", "tools"),
        *("mongodb-local", "redis-local"),
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
    known = {variable(field) for field in config.Config.__dataclass_fields__}
    known |= {f"{variable(field)}_FILE" for field in config.CONFIDENTIAL}
    assert {*OURS[name].get("environment", {})} <= known


@pytest.mark.parametrize("name", OURS)
def test_our_containers_run_without_privileges(name: str) -> None:
    assert OURS[name]["cap_drop"] == ["ALL"]
    assert OURS[name]["security_opt"] == ["no-new-privileges:true"]


def test_only_the_api_is_published_and_stores_have_no_way_out() -> None:
    always = {name: service for name, service in SERVICES.items() if "profiles" not in service}
    assert [name for name, service in always.items() if "ports" in service] == ["api"]
    assert COMPOSE["networks"]["stores"] == {"internal": True}
    for name in ("mongodb", "redis"):
        assert SERVICES[name]["networks"] == ["stores"]


def test_both_stores_ask_for_an_account_whose_password_is_a_secret() -> None:
    assert "--keyFile" in " ".join(SERVICES["mongodb"]["command"]), "which makes accounts be asked for"
    assert "--aclfile" in SERVICES["redis"]["command"]
    for name in ("api", "worker", "scheduler", "tools"):
        given = SERVICES[name]["environment"]
        assert given["MONGODB_URI_FILE"] == "/run/secrets/mongodb_uri"
        assert given["REDIS_URL_FILE"] == "/run/secrets/redis_url"
        assert {"mongodb_uri", "redis_url"} <= {*SERVICES[name]["secrets"]}


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_read_of_the_secrets_is_given_and_there(name: str) -> None:
    read = set(re.findall(r"/run/secrets/(\w+)", yaml.safe_dump(SERVICES[name])))
    assert read <= {*SERVICES[name].get("secrets", [])} <= {*COMPOSE["secrets"]}


def test_the_script_makes_every_secret_once_in_a_folder_of_its_owner(tmp_path: Path) -> None:
    script = tmp_path / "scripts/containers/secrets.sh"
    script.parent.mkdir(parents=True)
    script.write_text((REPOSITORY / "scripts/containers/secrets.sh").read_text())
    folder, rounds = tmp_path / ".secrets", []
    for _ in range(2):
        subprocess.run(["sh", script], check=True, timeout=10)
        rounds.append({path.name: path.read_text() for path in folder.iterdir()})
    made = rounds[0]
    assert rounds[1] == made, "what is there stays"
    assert {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()} <= {*made}
    assert folder.stat().st_mode & 0o077 == 0
    assert made["mongodb_password"] in made["mongodb_uri"]
    assert made["redis_password"] in made["redis_url"]
    assert made["redis_password"] in made["redis_users"]
    assert 6 <= len(made["mongodb_key"]) <= 1024
    for name in ("mongodb_uri", "mongodb_uri_local", "redis_url", "redis_url_local"):
        assert config.load({("MONGODB_URI" if "mongo" in name else "REDIS_URL"): made[name]})


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_of_others_is_named_by_its_digest(name: str) -> None:
    service = SERVICES[name]
    assert "build" in service or re.search(r"@sha256:[0-9a-f]{64}$", service["image"])


def test_the_dockerfile_builds_on_images_named_by_their_digest() -> None:
    bases = re.findall(r"^FROM (\S+) AS (\S+)$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    stages = {stage for _, stage in bases}
    assert all(base in stages or re.search(r"@sha256:[0-9a-f]{64}$", base) for base, _ in bases)


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_has_limits(name: str) -> None:
    assert {"mem_limit", "cpus", "pids_limit"} <= {*SERVICES[name]}


@pytest.mark.parametrize("name", ["mongodb", "redis", "api", "worker", "scheduler"])
def test_what_runs_always_is_asked_whether_it_is_well(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


@pytest.mark.parametrize("name", ["worker", "scheduler"])
def test_a_worker_is_asked_where_it_listens(name: str) -> None:
    port = SERVICES[name]["environment"]["HOLDFAST_WORKER_OPS_PORT"]
    assert f":{port}/health/ready" in SERVICES[name]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", SERVICES)
def test_a_published_port_is_open_to_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_what_a_container_waits_for_exists() -> None:
    waited_for = {other for service in SERVICES.values() for other in service.get("depends_on", {})}
    assert waited_for <= {*SERVICES}


def test_the_error_that_points_here_names_services_of_this_file() -> None:
    named = re.search(r"docker compose up -d ([\w -]+)`", INSTEAD)
    assert named
    assert {*named.group(1).split()} <= {*SERVICES}
