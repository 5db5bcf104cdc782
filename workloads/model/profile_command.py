"""Owns `holdfast trace profile`: the demand profile, derived anew."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from workloads.traces.command_options import TRACE_HELP, guarded, read_options, trace_options
from workloads.traces.names import default_trace


@click.command(help=f"Derive the demand profile of TRACE: arrivals, baskets, popularity.\n\n{TRACE_HELP}")
@click.argument("name", default=default_trace, metavar="TRACE")
@trace_options
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), help="Save it here; by default it is printed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def profile(name: str, said: dict[str, Any], to: Path | None, as_json: bool) -> None:
    from workloads.model.demand import Profile, derive_profile, save_profile

    def run() -> Profile:
        from workloads.traces.retail import read_with

        return derive_profile(read_with([name], read_options(said)))

    found = guarded(run)
    if to is not None:
        save_profile(found, to)
    if as_json or to is None:
        click.echo(json.dumps(asdict(found), indent=None if as_json else 1, ensure_ascii=False))
    else:
        click.echo(f"{found.sales:,} sales of {found.skus:,} SKUs, Zipf exponent {found.zipf_exponent} → {to}")
