"""The commands: what the help says of each is known here, and each is imported when it runs."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

SUMMARIES = {
    "inspect": "Describe an agent or an artifact: algorithm, spaces, network, what is folded in. Nothing in it is "
    "executed.",
    "export": "Export an agent as ONNX, C without dependencies, a Python module or a LiteRT file, after proving it "
    "equal.",
    "compress": "Find the smallest policy that keeps the return of an agent, or compress the agent with given recipes.",
    "evaluate": "Evaluate artifacts or agents: deterministic episodes on the same seeds.",
    "certify": "Certify from files of episodes, of any simulator or robot, that a policy keeps the return of another.",
    "search": "The search of compress, with episodes that are played elsewhere: in another simulator or on a robot.",
    "train": "Train an agent with published hyperparameters. If interrupted, run the same command again to resume.",
    "bench": "Measure the latency of one action from Python: batch 1, one thread, warm and cold, files in alternation.",
    "doctor": "Show what this machine can measure, its compilers, runtimes and energy meters, and what to install "
    "for more.",
    "study": "Studies: many agents and recipes in one database.",
}
"""The first paragraph of each command's help, in the order of the list of commands."""

NAMES = tuple(SUMMARIES)
"""Each is a function of the same name in the module of that name, or the module's ``app`` with commands of its own.
``train`` comes from ``policypress-train``."""


class Unloaded(TyperCommand):
    """A command as lists of commands show it; the command itself is imported when its arguments are read."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the imported command: what is called next is that command, not this one."""
        made = command(str(self.name))
        if extra.get("resilient_parsing"):
            _take_as_typed(made)
        return made.make_context(info_name, args, parent=parent, **extra)


class Commands(TyperGroup):
    """The group of :data:`NAMES`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands = {name: Unloaded(name, help=summary) for name, summary in SUMMARIES.items()}

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the group's own options."""
        if extra.get("resilient_parsing"):
            _take_as_typed(self)
        return super().make_context(info_name, args, parent=parent, **extra)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, after which the process ends."""
        _import_what_draws_help()
        super().format_help(ctx, formatter)


def command(name: str) -> Any:
    """Import the command ``name``.

    Raises:
        MissingDependencyError: it is that of a distribution that is not installed.
    """
    if name == "train":
        # Not before it is needed: what finds distributions takes a quarter of the help's time.
        from policypress.training_package import training_command

        module = training_command()
    else:
        module = import_module(f"policypress.cli.{name}")
    found = getattr(module, "app", None)
    if found is None:
        found = typer.Typer(add_completion=False, rich_markup_mode="rich")
        found.command(name)(getattr(module, name))
    made = typer.main.get_command(found)
    made.name = name
    return made


def _take_as_typed(made: Any) -> None:
    """Let completion, which is all that ``made`` is for, use words as they stand.

    What turns them into numbers and paths takes longer to import than completion may take.
    """
    known = made.get_params

    def parameters(context: Any) -> Any:
        found = known(context)
        for parameter in found:
            parameter.process_value = lambda _, value: value
        return found

    made.get_params = parameters
    for below in getattr(made, "commands", {}).values():
        if not isinstance(below, Unloaded):
            _take_as_typed(below)


def _import_what_draws_help() -> None:
    """Import typer's drawing without Markdown and tracebacks, which are half of it and appear in no help of ours."""
    absent = {"rich.markdown": "Markdown", "rich.traceback": "Traceback"}
    stand_ins = {name: ModuleType(name) for name in absent if name not in sys.modules}
    for name, module in stand_ins.items():
        setattr(module, absent[name], type(absent[name], (), {}))
    sys.modules.update(stand_ins)
    try:
        import_module("typer.rich_utils")
    finally:
        for name in stand_ins:
            del sys.modules[name]
