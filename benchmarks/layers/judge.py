"""What the layers may cost, and what a core must serve."""

from typing import Any

from benchmarks.kit.outcome import BenchOutcome, table
from benchmarks.layers.cases import AVAILABILITY

LAYERS_SHARE_MAX = 0.35
CACHE_RATIO_MIN = 8
CACHED_PER_CORE_MIN = 5_000
AVAILABILITY_PER_CORE_MIN = 2_500

COLUMNS = (
    *("route", "caller", "framework µs", "bare route µs", "all layers µs"),
    *("layers' share", "95 % of it", "per second and core"),
)


def judge(result: dict[str, Any]) -> BenchOutcome:
    keys = (
        *("route", "caller", "bareFramework", "bareRoute", "allLayers"),
        *("layersShare", "layersShareInterval", "perSecondPerCore"),
    )
    routes, cache = result["routes"], result["cache"]
    costs = table("CPU of the API process per request", COLUMNS, [[row[key] for key in keys] for row in routes])
    where = [table(f"where it goes: {row['route']}, {row['caller']}", ("part", "µs"), _parts(row)) for row in routes]
    kept = table(
        f"{cache['route']}, anonymous",
        ("", "µs", "per second and core"),
        [
            ("cached", cache["cached"], cache["cachedPerSecondPerCore"]),
            ("made anew", cache["uncached"], round(1e6 / cache["uncached"])),
        ],
    )
    return BenchOutcome(result, (costs, *where, kept), tuple(_broken(routes, cache)))


def _parts(row: dict[str, Any]) -> list[tuple[str, float]]:
    layers = [(f"layer {part['layer']}", part["us"]) for part in row["perLayer"]]
    return layers + [(part["part"], part["us"]) for part in row["elsewhere"]]


def _broken(routes: list[dict[str, Any]], cache: dict[str, Any]) -> list[str]:
    broken = [fault for row in routes if row["route"] == AVAILABILITY for fault in _beyond(row)]
    if cache["ratio"] < CACHE_RATIO_MIN:
        broken.append(f"a cached list is {cache['ratio']} times as cheap, not {CACHE_RATIO_MIN}")
    if cache["cachedPerSecondPerCore"] < CACHED_PER_CORE_MIN:
        broken.append(f"{cache['cachedPerSecondPerCore']} cached lists a second and core, not {CACHED_PER_CORE_MIN}")
    return broken


def _beyond(row: dict[str, Any]) -> list[str]:
    name, found = f"{row['route']}, {row['caller']}", []
    if row["layersShare"] >= LAYERS_SHARE_MAX:
        found.append(f"{name}: the layers add {row['layersShare']:.0%}, {LAYERS_SHARE_MAX:.0%} is too much")
    if row["perSecondPerCore"] < AVAILABILITY_PER_CORE_MIN:
        found.append(f"{name}: {row['perSecondPerCore']} a second and core, not {AVAILABILITY_PER_CORE_MIN}")
    return found
