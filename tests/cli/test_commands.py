"""Every command is there, is what help lists, and is imported only when it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import command_line
from policypress.cli.commands import NAMES, SUMMARIES, command

OF_ACTING = ("torch", "numpy", "gymnasium", "onnx", "onnxruntime", "pandas", "matplotlib", "scipy", "psutil")


def loaded_by(*arguments: str, code: int = 0) -> tuple[set[str], str]:
    """Every module that ``policypress`` has loaded when it is done with ``arguments``, and what it printed."""
    program = (
        f"import sys\ncode = 0\nsys.argv = ['policypress', *{arguments!r}]\nfrom policypress.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    code = ended.code or 0\n"
        "print('loaded:', code, *sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    shown, _, told = run.stdout.rpartition("loaded:")
    ended, *loaded = told.split()
    assert int(ended) == code, run.stderr
    return set(loaded), shown + run.stderr


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_its_name_and_says_what_the_list_says_of_it(name: str) -> None:
    made = command(name)
    assert made.name == name
    assert made.help.split("\n\n")[0].replace("\n", " ") == SUMMARIES[name]


def test_help_shows_every_command_and_loads_none() -> None:
    loaded, shown = loaded_by("--help")
    assert all(name in shown for name in NAMES)
    assert not loaded & {*OF_ACTING, "pydantic", "rich.markdown", *(f"policypress.cli.{name}" for name in NAMES)}


def test_the_version_needs_not_even_what_draws() -> None:
    loaded, shown = loaded_by("--version")
    assert shown.startswith("policypress ")
    assert not loaded & {*OF_ACTING, "pydantic", "rich.console", "policypress.cli.console"}


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_a_command_loads_nothing_that_it_runs_with(name: str) -> None:
    loaded, shown = loaded_by(name, "--help")
    assert f"policypress {name}" in shown
    assert not loaded & {*OF_ACTING, "policypress.engine", "policypress.environments", "policypress.policy"}


def test_a_misspelt_command_is_told_its_neighbour() -> None:
    run = subprocess.run([sys.executable, "-m", "policypress", "stud"], capture_output=True, text=True)
    assert run.returncode == 2
    assert "study" in run.stderr


@pytest.mark.parametrize(
    ("arguments", "there", "hint"),
    [
        (["inspect", "agent.zip"], "agents.zip", "Did you mean agents.zip?"),
        (["compress", "agent.zip", "-o", "out", "--env", "Hopper-v4"], "agents.zip", "Did you mean agents.zip?"),
        (["export", "agent.zip", "-o", "policy.onnx"], "agents.zip", "Did you mean agents.zip?"),
        (["evaluate", "agent.zip"], "agents.zip", "Did you mean agents.zip?"),
        (["bench", "agents.zip", "agent.zip"], "agents.zip", "Did you mean agents.zip?"),
        (["evaluate", "small.onnx"], "agents.zip", "an .onnx file written by"),
        (["study", "run", "study.yml"], "studi.yml", "Did you mean studi.yml?"),
        (["study", "status", "study.yml"], "studi.yml", "Did you mean studi.yml?"),
        (
            ["train", "dqn", "CartPole-v1", "-o", "x.zip", "--from", "agent.zip"],
            "agents.zip",
            "Did you mean agents.zip?",
        ),
        (["train", "dqqn", "CartPole-v1", "-o", "x.zip"], "agents.zip", "Did you mean dqn?"),
    ],
)
def test_what_is_mistyped_is_answered_before_anything_slow_is_imported(
    arguments: list[str], there: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / there).touch()
    loaded, shown = loaded_by(*arguments, code=2)
    assert hint in shown
    assert not loaded & {"torch", "gymnasium", "onnxruntime", "stable_baselines3", "pandas"}
    assert [path.name for path in tmp_path.iterdir()] == [there]


def test_what_a_training_states_otherwise_is_said() -> None:
    done = command_line.run("train", "dqn", "NoSuch-v0", "-o", "x.zip")
    assert done.returncode == 2
    assert "--env package.module:MyEnv-v0." in done.stderr
    assert done.stderr.splitlines()[-1].strip() == "here: --env is the argument ENV of train"
