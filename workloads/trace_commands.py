"""Owns `holdfast trace`: what can be asked about a retail trace without a running stack."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from workloads.trace_names import default_trace
from workloads.trace_options import TRACE_HELP, columns_option, trace_faults_told


@click.group()
def trace() -> None:
    """Look at a retail trace, and derive from it."""


@trace.command(help=f"Derive the demand profile of TRACE: arrivals, baskets, popularity.\n\n{TRACE_HELP}")
@click.argument("trace", default=default_trace)
@columns_option
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), help="Save it here; by default it is printed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def profile(trace: str, columns: str | None, to: Path | None, as_json: bool) -> None:
    with trace_faults_told():
        from workloads.demand import derive_profile, save_profile
        from workloads.trace import parse_columns, read_trace

        found = derive_profile(read_trace(trace, parse_columns(columns)))
    if to is not None:
        save_profile(found, to)
    if as_json or to is None:
        click.echo(json.dumps(asdict(found), indent=None if as_json else 1, ensure_ascii=False))
    else:
        click.echo(f"{found.sales:,} sales of {found.skus:,} SKUs, Zipf exponent {found.zipf_exponent} -> {to}")
