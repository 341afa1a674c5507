"""The commands, each imported when it is asked for: what needs no torch does not load it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

NAMES = ("inspect", "export", "compress", "evaluate", "train", "bench", "doctor", "study")
"""Each is a function of the same name in the module of that name, or the module's ``app`` with commands of its own."""


class Commands(TyperGroup):
    """The group of :data:`NAMES`; only help and completion, which describe every command, load them all."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        named: Any = dict.fromkeys(NAMES)
        self.commands = named  # the names alone: what is suggested for a misspelt one

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, in the order of the help."""
        return list(NAMES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        return command(cmd_name) if cmd_name in NAMES else None


def command(name: str) -> Any:
    """Import the command ``name``."""
    module = import_module(f"policypress.cli.{name}")
    found = getattr(module, "app", None)
    if found is None:
        found = typer.Typer(add_completion=False, rich_markup_mode="rich")
        found.command(name)(getattr(module, name))
    made = typer.main.get_command(found)
    made.name = name
    return made
