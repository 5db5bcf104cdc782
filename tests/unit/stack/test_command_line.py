"""The command line as a whole."""

import importlib

import click
import pytest

from service.cli import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_is_listed_is_there(name: str) -> None:
    module, attribute = COMMANDS[name].split(":")
    assert isinstance(getattr(importlib.import_module(module), attribute), click.Command)
