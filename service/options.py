"""Options that commands share."""

from pathlib import Path

import click

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    envvar="HOLDFAST_DATA",
    default=Path(".holdfast"),
    show_default=True,
    help="The stack's data directory.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
