"""Files that are near an agent are named as what they are; what is without doubt is read."""

from __future__ import annotations

import pickle
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from policypress.agents.loading import load_agent
from policypress.agents.near_files import model_prefix
from policypress_runtime.errors import AgentError


def zip_of(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.fixture
def agent(own_agents: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(own_agents / "dqn-CartPole-v1.zip", tmp_path / "dqn-CartPole-v1.zip"))


def test_a_model_that_was_zipped_with_its_folder_is_read(agent: Path, tmp_path: Path) -> None:
    again = tmp_path / "dqn-again.zip"
    with zipfile.ZipFile(agent) as old:
        members = {f"model/{name}": old.read(name) for name in old.namelist()}
    zip_of(again, {**members, "__MACOSX/model/data": b""})
    read, expected = load_agent(again), load_agent(agent)
    assert read.provenance.library_version == expected.provenance.library_version
    assert read.action_space == expected.action_space
    assert model_prefix(["a/data", "a/policy.pth", "b/data", "b/policy.pth"]) is None


def test_an_unzipped_model_and_its_way_on(agent: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my model"
    with zipfile.ZipFile(agent) as archive:
        archive.extractall(folder)
    with pytest.raises(AgentError, match="was unzipped") as caught:
        load_agent(folder)
    hint = caught.value.hint
    assert hint is not None
    typed = hint.removeprefix("Zip it again: python ").partition(", and give")[0]
    subprocess.run(f"{shlex.quote(sys.executable)} {typed}", shell=True, check=True, cwd=tmp_path)
    assert load_agent(tmp_path / "agent.zip").action_space == load_agent(agent).action_space


def test_checkpoints_only_name_the_newest(agent: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for steps in (900, 10_000, 2000):
        shutil.copy(agent, folder / f"rl_model_{steps}_steps.zip")
    with pytest.raises(AgentError, match=r"the newest is .*rl_model_10000_steps.zip"):
        load_agent(folder)
    assert load_agent(folder / "rl_model_10000_steps.zip").action_space == load_agent(agent).action_space


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.zip", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "pointer of Git LFS"),
        ("a.zip", b"\n<!DOCTYPE html><html>", "web page"),
        ("a.zip", b"", "empty file"),
        ("a.zip", b"Entry not found", "server"),
        ("a.pkl", pickle.dumps({"buffer": 1}), "a pickle"),
        ("a.pth", b"something", "PyTorch file"),
        ("a.safetensors", (16).to_bytes(8, "little") + b'{"a":{"dtype":1}}' + bytes(99), "safetensors"),
        ("a.h5", b"\x89HDF\r\n", "Keras"),
        ("a.zip", b"\x1f\x8b\x08", "Unpack it"),
    ],
)
def test_files_that_are_no_zip(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AgentError, match=expected) as caught:
        load_agent(tmp_path / name)
    assert caught.value.hint


def test_zips_that_are_no_model(tmp_path: Path, agent: Path) -> None:
    network = torch.nn.Linear(3, 2)
    torch.save(network.state_dict(), tmp_path / "state.pth")
    zip_of(
        tmp_path / "policy.pt", {"policy/code/__torch__.py": b"", "policy/constants.pkl": b"", "policy/data.pkl": b""}
    )
    zip_of(tmp_path / "sb2.zip", {"data": b"{}", "parameter_list": b"[]", "parameters": b""})
    zip_of(tmp_path / "jax.zip", {"data": b"{}", "pytorch_variables.pth": b"", "_stable_baselines3_version": b"2"})
    zip_of(tmp_path / "many.zip", {"runs/agent.zip": agent.read_bytes()})
    for name, words in {
        "state.pth": "state_dict",
        "policy.pt": "TorchScript",
        "sb2.zip": "Stable-Baselines 2",
        "jax.zip": "SBX",
        "many.zip": "zip of other files",
    }.items():
        with pytest.raises(AgentError, match=words) as caught:
            load_agent(tmp_path / name)
        assert caught.value.hint
