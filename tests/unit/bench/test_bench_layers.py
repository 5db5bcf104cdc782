"""Whose work a moment is, and what of a measurement breaks the command."""

import subprocess
import sys
import time
from copy import deepcopy
from types import FrameType
from typing import Any

import pytest

from benchmarks.kit.cpu_time import cpu_seconds_of
from benchmarks.layers.cases import ANONYMOUS, AVAILABILITY, BEARER, PRODUCTS, Case
from benchmarks.layers.judge import judge
from benchmarks.layers.parts import DRIVERS, LOOP, SANIC, is_layer, part_of

GOOD = {
    "routes": [
        {
            **{"route": AVAILABILITY, "caller": caller, "bareFramework": 60.0, "bareRoute": 150.0},
            **{"allLayers": 190.0, "layersShare": 0.27, "layersShareInterval": [0.25, 0.29]},
            **{"perSecondPerCore": 5_263, "perLayer": [], "elsewhere": []},
        }
        for caller in (ANONYMOUS, BEARER)
    ],
    "cache": {"route": PRODUCTS, "cached": 150.0, "uncached": 1_500.0, "ratio": 10.0, "cachedPerSecondPerCore": 6_666},
}


def stack_of(*modules: str) -> FrameType:
    """The innermost frame of functions of these modules that call each other, the outermost named first."""
    frames: list[FrameType] = []
    call: Any = lambda: frames.append(sys._getframe(1))  # noqa: E731
    for module in reversed(modules):
        scope = {"__name__": module, "inner": call}
        exec("def f():\n    return inner()\n", scope)
        call = scope["f"]
    call()
    return frames[0]


@pytest.mark.parametrize(
    ("modules", "part"),
    [
        (
            ("sanic.app", "service.web.security.layers", "service.web.security.sanitize", "urllib.parse"),
            "web/security/sanitize.py",
        ),
        (("sanic.http.http1", "service.web.security.connection", "sanic.http.http1"), SANIC),
        (("service.web.security.layers", "sanic.request.types"), "web/security/layers.py"),
        (("service.web.security.layers", "service.auth.tokens"), "web/security/credentials.py"),
        (("service.web.security.gate", "service.infra.batcher"), "web/security/gate.py"),
        (("service.inventory.usecases", "service.infra.batcher"), "inventory/usecases.py"),
        (("service.infra.redis.script_connection",), "web/security/gate.py"),
        (("service.inventory.repository", "motor.core", "asyncio.futures"), DRIVERS),
        (("asyncio.runners", "service.app", "asyncio.events"), LOOP),
    ],
)
def test_a_moment_belongs_to_the_innermost_that_is_somebodys(modules: tuple[str, ...], part: str) -> None:
    assert part_of(stack_of("pytest", *modules)) == part


def test_compression_is_no_security_layer() -> None:
    assert is_layer("web/security/gate.py")
    assert not is_layer("web/http/compress.py")
    assert not is_layer("inventory/routes.py")


def test_a_measurement_within_its_limits_passes() -> None:
    assert judge(GOOD).broken == ()


@pytest.mark.parametrize("caller", [0, 1])
@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        ("routes", "layersShare", 0.35),
        ("routes", "perSecondPerCore", 2_499),
        ("cache", "ratio", 7.9),
        ("cache", "cachedPerSecondPerCore", 4_999),
    ],
)
def test_each_limit_breaks_the_command(place: str, key: str, value: float, caller: int) -> None:
    result: dict[str, Any] = deepcopy(GOOD)
    (result[place][caller] if place == "routes" else result[place])[key] = value
    assert len(judge(result).broken) == 1


def test_the_framework_is_asked_with_the_same_heads() -> None:
    case = Case(AVAILABILITY, ANONYMOUS, [b"GET /api/x?sku=1 HTTP/1.1\r\nHost: h\r\n\r\n"], 106)
    assert case.of_framework() == [b"GET /bytes/106 HTTP/1.1\r\nHost: h\r\n\r\n"]


def test_another_process_is_charged_for_what_it_uses_and_for_nothing_else() -> None:
    code = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        used = cpu_seconds_of(process.pid)
        time.sleep(0.2)
        assert 0.3 <= used < 0.6
        assert cpu_seconds_of(process.pid) - used < 0.05
        process.kill()


def test_a_process_that_is_gone_is_an_error() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    with pytest.raises(OSError):
        cpu_seconds_of(process.pid)
