"""The winner of a search's folder for every target and as every package, in one command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from command_line import run
from policypress.export.form import Form
from policypress.export.packages.registry import PACKAGES
from policypress.study.exporting import everywhere as module
from policypress_runtime.codegen.targets import TARGETS


def test_every_target_and_package_has_a_form() -> None:
    names = [name for name, _ in module.forms()]
    assert len(names) == len(set(names)) == len(TARGETS) + len(PACKAGES) + 2


@pytest.fixture(scope="module")
def found(own_agents: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a search leaves it, with the winner."""
    folder = tmp_path_factory.mktemp("search")
    agent = own_agents / "dqn-CartPole-v1.zip"
    done = run("export", agent, "--recipe", "prune(l2, 0.9) > equalize > int8", "-o", folder / "policy.onnx")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_all_at_once(found: Path) -> None:
    done = run("export", found, "--all", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    refused = {path: one["refused"] for path, one in said.items() if one["refused"]}
    # An observation of CartPole is one array of floats, and its action a choice.
    absent = {"npm": shutil.which("wasm-ld") is None}
    assert set(refused) <= {str(found / "targets" / "packages" / name) for name, no in absent.items() if no}
    for path in set(said) - set(refused):
        assert Path(path).exists()
    again = run("export", found, "--all")
    assert again.returncode == 2
    assert "folder of its own" in again.stderr


def test_what_one_form_cannot_hold_does_not_stop_the_others(found: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from policypress.agents.overrides import NO_OVERRIDES
    from policypress.study.export_artifact import proven_from

    wanted = (("c/docker/policy.c", Form(target="docker")), ("c/avr/policy.c", Form(target="avr")))
    monkeypatch.setattr(module, "forms", lambda: wanted)
    proven, met = proven_from(found / "policy.onnx", overrides=NO_OVERRIDES, plays=False)
    told: list[module.Written] = []
    done = module.export_everywhere(proven, met, found / "some", told.append)
    assert list(done) == told
    assert done[0].refused.startswith("There is no such target")
    assert (found / "some" / "c" / "avr" / "policy.h").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--all", "--target", "avr"), "--all alone"),
        (("--all", "--recipe", "int8"), "Export with the recipe first"),
        ((), "-o FILE"),
    ],
)
def test_what_all_cannot_mean(found: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run("export", found / "policy.onnx", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_folder_without_a_winner(tmp_path: Path) -> None:
    done = run("export", tmp_path, "--all")
    assert done.returncode == 2
    assert "policypress compress" in done.stderr
