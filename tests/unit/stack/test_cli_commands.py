"""The table of commands: what is loaded by name is there under that name."""

import click
import pytest

from service.cli import COMMANDS, LazyGroup


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_table_says(name: str) -> None:
    command = LazyGroup("holdfast").get_command(click.Context(LazyGroup("holdfast")), name)
    assert isinstance(command, click.Command)
