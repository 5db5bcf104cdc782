"""Owns `holdfast trace`: what a file was understood as, and the standard form of it."""

import json
from pathlib import Path
from typing import Any

import click

from workloads.traces.command_options import guarded, read_options, trace_options

_files = click.argument("files", nargs=-1, required=True, metavar="FILE...")


@click.group()
def trace() -> None:
    """Look at a trace, or bring it into the standard form."""


@trace.command()
@_files
@trace_options
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def show(files: tuple[str, ...], said: dict[str, Any], as_json: bool) -> None:
    """Say what FILE… was understood as, what was mended, and the command to run."""
    from workloads.traces.showing import as_text, description

    def run() -> dict[str, Any]:
        from workloads.traces.retail import read_with

        return description(read_with(files, read_options(said)), files, said)

    found = guarded(run)
    click.echo(json.dumps(found, indent=2, allow_nan=False, default=str) if as_json else as_text(found))


@trace.command()
@_files
@trace_options
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="A Parquet file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
def convert(files: tuple[str, ...], said: dict[str, Any], out: Path, as_json: bool) -> None:
    """Write FILE… in the standard form, as Parquet with the hashes of its sources and their attribution."""

    def run() -> dict[str, Any]:
        from workloads.traces.retail import read_with
        from workloads.traces.standard_form import write_standard

        return write_standard(read_with(files, read_options(said)), out)

    written = guarded(run)
    line = f"{written['rows']:,} rows, {written['invoices']:,} invoices, {written['skus']:,} SKUs → {out}"
    click.echo(json.dumps(written, default=str) if as_json else line)
