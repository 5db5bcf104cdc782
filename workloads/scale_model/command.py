"""`holdfast scale`: the model beside what was measured, then where there is no machine to measure on."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workloads.progress import say, terminal_is_watching

if TYPE_CHECKING:
    import pandas as pd

INVALID = 2


@click.command()
@click.option(
    "--measured",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What `holdfast bench scaling --json` printed; by default what is committed.",
)
@click.option("--http-cpu-ms", type=click.FloatRange(0), help="CPU of an API process for a request, ledger aside.")
@click.option("--seed", default=1, show_default=True, type=int)
@click.option("--quick", is_flag=True, help="A small grid that shows it works.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def scale(measured: Path | None, http_cpu_ms: float | None, seed: int, quick: bool, as_json: bool) -> None:
    """How far more processes, shards and SKUs go: a model, calibrated with one ledger and judged with more."""
    from workloads.scale_model.fit import MEASURED_FILE, load_measured
    from workloads.scale_model.grid import QUICK, Grid

    try:
        known = load_measured(measured or MEASURED_FILE)
        if http_cpu_ms is not None:
            known["httpCpuMs"] = http_cpu_ms
        document, rows = _document(known, replace(QUICK if quick else Grid(), seed=seed))
    except (ValueError, KeyError) as error:
        say(f"[red]cannot be used:[/] {error}")
        sys.exit(INVALID)
    click.echo(json.dumps(document, indent=2) if as_json else _text(document, rows))


def _document(known: dict[str, Any], grid: Any) -> tuple[dict[str, Any], "pd.DataFrame"]:
    from workloads.scale_model.fit import compare, cores_given, mean_error
    from workloads.scale_model.grid import ceiling_of_one_sku, frame, smallest

    compared = compare(known, seed=grid.seed)
    plants, hidden = len(list(grid.plants())), not terminal_is_watching()
    bar = click.progressbar(length=plants, label="plants", file=sys.stderr, hidden=hidden)
    with bar:
        rows = frame(known, grid, lambda: bar.update(1))
    document = {
        "seed": grid.seed,
        "coresGiven": cores_given(known),
        "httpCpuMs": known.get("httpCpuMs", 0.0),
        "compared": [_row(found) for found in compared],
        "meanError": round(mean_error(compared), 4),
        "oneSkuPerSecond": round(ceiling_of_one_sku(known, seed=grid.seed), 1),
        "grid": _records(rows),
        "millionAMinute": _records(smallest(rows)),
    }
    return document, rows


def _row(found: Any) -> dict[str, Any]:
    return {
        "processes": found.processes,
        "buyers": found.buyers,
        "hotShare": found.hot_share,
        "calibrated": found.calibrated,
        "measuredPerSecond": found.measured_per_second,
        "predictedPerSecond": round(found.predicted.checkouts_per_second, 1),
        "error": round(found.error, 4),
        "measuredConflicts": found.measured_retries,
        "predictedConflicts": round(found.predicted.conflicts, 3),
        "measuredP50Ms": found.measured_p50_ms,
        "predictedP50Ms": round(found.predicted.p50_ms, 1),
        "measuredP99Ms": found.measured_p99_ms,
        "predictedP99Ms": round(found.predicted.p99_ms, 1),
    }


def _records(rows: "pd.DataFrame") -> list[dict[str, Any]]:
    def camel(name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(part.title() for part in rest)

    records: list[dict[str, Any]] = json.loads(rows.rename(columns=camel).round(3).to_json(orient="records"))
    return records


def _text(document: dict[str, Any], rows: "pd.DataFrame") -> str:
    import pandas as pd

    compared = pd.DataFrame(document["compared"]).to_string(index=False)
    ways = rows.drop(columns=["buyers", "store_cores", "batch_items"]).round(1).to_string(index=False)
    enough = pd.DataFrame(document["millionAMinute"])
    return "\n\n".join(
        [
            f"measured and predicted; mean error of what was predicted {100 * document['meanError']:.0f} %",
            compared,
            f"on paper, {document['httpCpuMs']} ms of HTTP a request; one SKU sells at most "
            f"{document['oneSkuPerSecond']:,.0f}/s",
            ways,
            "the fewest processes for a million checkouts a minute",
            "none in this grid" if enough.empty else enough.to_string(index=False),
        ]
    )
