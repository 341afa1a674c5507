"""``--help`` of compress is read in panels: every option but the three that all commands have stands in one."""

from __future__ import annotations

from typing import Any

from policypress.cli.commands import command
from policypress.cli.options import AGENT_FILE, ENVIRONMENT, EXPERT, GOAL, MEASURING

EVERYWHERE = {"output", "as_json", "help", "agent"}


def panel(parameter: Any) -> str | None:
    return getattr(parameter, "rich_help_panel", None)


def test_every_option_of_compress_stands_in_a_panel() -> None:
    parameters = {str(one.name): one for one in command("compress").params}
    unplaced = {name for name, one in parameters.items() if panel(one) is None}
    assert unplaced <= EVERYWHERE
    assert {panel(one) for one in parameters.values()} - {None} == {GOAL, ENVIRONMENT, MEASURING, EXPERT, AGENT_FILE}


def test_the_goal_comes_before_what_only_experts_need() -> None:
    placed = [panel(one) for one in command("compress").params if panel(one)]
    first = list(dict.fromkeys(placed))
    assert first[0] == GOAL
    assert first[-2:] == [EXPERT, AGENT_FILE]
