"""``policypress search``: start, ask and tell, each as a command line of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import elsewhere_player as player
from policypress.cli.app import app
from policypress_runtime.errors import PolicypressError, StudyInputError


def run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, ["search", *map(str, arguments)])
    if isinstance(done.exception, PolicypressError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_search_is_started_asks_and_is_told(own_agents: Path, tmp_path: Path) -> None:
    agent, log, folder = own_agents / "dqn-CartPole-v1.zip", tmp_path / "logged.npz", tmp_path / "out"
    np.savez(log, observations=player.observations(600))
    start = ("start", agent, "--observations", log, "-o", folder, "--training-free", "--random-return", "9.5")
    assert f"now: policypress search ask {folder}" in run(*start)
    asked = json.loads(run("ask", folder, "--json", "--jobs", "1"))
    assert (asked["ending"], [play["recipe"] for play in asked["play"]]) == ("waiting", ["none"])
    table = Path(asked["table"])
    assert "10 returns taken" not in run("tell", folder, table)
    rows = table.read_text().splitlines()
    table.write_text("\n".join([rows[0], *(f"{row}{30 + number % 2}" for number, row in enumerate(rows[1:]))]))
    assert f"10 returns taken; 0 are still missing\nnow: policypress search ask {folder}" in run("tell", folder, table)
    assert json.loads(run("tell", folder, table, "--json")) == {"schema": 1, "new": 0, "known": 10, "missing": 0}
    with pytest.raises(StudyInputError, match="Another search was started"):
        run(*start, "--keep", "0.9")
