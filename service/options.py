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
