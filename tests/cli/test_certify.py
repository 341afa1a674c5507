"""``policypress certify``: what it prints, its exit codes, and what it says of wrong files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from policypress.cli.app import app
from policypress_runtime.errors import EpisodeFileError, PolicypressError

RNG = np.random.default_rng(0)
BASE = RNG.normal(100, 10, 220)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    values = {"base": BASE, "own": BASE - 0.5 + RNG.normal(0, 2, 220), "worse": BASE - 30}
    paths = {}
    for name, returns in values.items():
        path = tmp_path / f"{name}.csv"
        path.write_text("seed,return\n" + "".join(f"{i},{value!r}\n" for i, value in enumerate(returns.tolist())))
        paths[name] = str(path)
    (tmp_path / "random.csv").write_text("return\n" + "".join(f"{v!r}\n" for v in RNG.normal(-50, 20, 120).tolist()))
    return {**paths, "random": str(tmp_path / "random.csv")}


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["certify", *arguments])
    if isinstance(done.exception, PolicypressError):
        raise done.exception
    return done.exit_code, done.output


def test_a_certificate_says_what_is_certain_and_what_is_assumed(files: dict[str, str]) -> None:
    code, shown = run("--baseline", files["base"], "--candidate", files["own"], "--random", files["random"])
    assert code == 0
    for words in (
        "certified",
        "pairs of episodes",
        "With confidence 0.95",
        "It is assumed",
        "price of the lower",
        "Falls",
    ):
        assert words in shown


def test_what_is_not_certified_stops_a_script(files: dict[str, str]) -> None:
    code, shown = run("--baseline", files["base"], "--candidate", files["worse"], "--random", files["random"])
    assert code == 1
    assert "not certified" in shown
    assert "It is not certain" in shown


def test_several_candidates_and_json(files: dict[str, str]) -> None:
    arguments = ["--baseline", files["base"], "--random", files["random"]]
    code, shown = run(*arguments, "--candidate", files["own"], "--candidate", files["worse"])
    assert code == 1
    assert "1 of 2 are certified, all of these together with confidence 0.95" in shown
    code, shown = run(*arguments, "--candidate", files["own"], "--json")
    found = json.loads(shown)["certificates"][files["own"]]
    assert (code, found["verdict"], found["version"]) == (0, "certified", 2)


def test_wrong_files_are_told_and_have_the_exit_code_of_input(files: dict[str, str], tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    with pytest.raises(EpisodeFileError) as caught:
        run("--baseline", files["base"], "--candidate", str(empty))
    assert caught.value.exit_code == 2
