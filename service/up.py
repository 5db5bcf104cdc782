"""`holdfast up`: settings are checked before anything else is loaded or started."""

import os
import secrets
from pathlib import Path

import click

from service import config
from service.options import data_option

LOOPBACK = "http://127.0.0.1"


@click.command()
@data_option
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="API processes.")
def up(data: Path, host: str, port: int, workers: int) -> int:
    """Run the whole stack in the foreground until Ctrl-C."""
    check_settings()
    from service.stack import supervisor  # half a second: whoever has a setting wrong need not wait for it

    return supervisor.run(data, host, port, workers)


def check_settings() -> None:
    """What the children will be given, with stand-ins for what is made for them. Raises ConfigError."""
    made = {"HOLDFAST_SECRET": secrets.token_urlsafe(48), "HOLDFAST_PUBLIC_URL": LOOPBACK}
    given = {name: value for name, value in os.environ.items() if value or name not in made}
    for sentence in (*config.load(made | given).warnings, *config.misspelt(os.environ)):
        click.echo(sentence, err=True)
