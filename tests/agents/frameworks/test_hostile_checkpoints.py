"""Checkpoints made to do harm: refused with an error that says why, and nothing of them runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_checkpoints import ROWS, Mlp, rsl_rl_2

from policypress.agents.loading import load_agent
from policypress.agents.stated_overrides import stated_overrides
from policypress.policy.importers.from_agent import policy_from_agent
from policypress_runtime.errors import AgentError, DamagedAgentError, UnsafeAgentError


class Runs:
    """Unpickling it creates a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("place", ["infos", "model_state_dict", "obs_norm_state_dict"])
def test_code_in_a_checkpoint_never_runs(place: str, old: bool, tmp_path: Path) -> None:
    content = rsl_rl_2().content
    content[place] = Runs(tmp_path / "ran") if place == "infos" else {**content[place], "x": Runs(tmp_path / "ran")}
    torch.save(content, tmp_path / "model_1.pt", _use_new_zipfile_serialization=not old)
    with pytest.raises(UnsafeAgentError, match="mkdir") as refused:
        load_agent(tmp_path / "model_1.pt", overrides=stated_overrides(activation="elu"))
    assert refused.value.exit_code == 2
    assert not (tmp_path / "ran").exists()


def test_the_older_form_of_torch_is_read_with_nested_tensors(tmp_path: Path) -> None:
    case = rsl_rl_2()
    torch.save(case.content, tmp_path / "model_1.pt", _use_new_zipfile_serialization=False)
    policy = policy_from_agent(load_agent(tmp_path / "model_1.pt", overrides=stated_overrides(activation="elu")))
    got = policy(torch.tensor(ROWS, dtype=torch.float32)).detach().numpy()
    assert np.abs(got - case.act(ROWS)).max() < 1e-4


def test_a_tensor_that_claims_gigabytes(tmp_path: Path) -> None:
    content = rsl_rl_2().content
    content["model_state_dict"]["actor.0.weight"] = torch.zeros(1).expand(2**20, 2**11)
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(DamagedAgentError, match="claim more content"):
        load_agent(tmp_path / "m.pt", overrides=stated_overrides(activation="elu"))


def _rezipped(path: Path, change: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, change.get(name.partition("/")[2], content))


def test_a_storage_that_is_shorter_than_its_tensor(tmp_path: Path) -> None:
    path = rsl_rl_2().write(tmp_path)
    _rezipped(path, {"data/1": b"\0" * 8})
    with pytest.raises(DamagedAgentError, match="damaged"):
        load_agent(path, overrides=stated_overrides(activation="elu"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none(value: float, tmp_path: Path) -> None:
    content = rsl_rl_2().content
    content["obs_norm_state_dict"]["_std"][0, 2] = value
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(DamagedAgentError, match="not finite"):
        load_agent(tmp_path / "m.pt", overrides=stated_overrides(activation="elu"))


@pytest.mark.parametrize("values", [torch.full((1, 6), -0.01), torch.ones(1, 5)])
def test_statistics_that_cannot_be(values: torch.Tensor, tmp_path: Path) -> None:
    content = rsl_rl_2().content
    content["obs_norm_state_dict"]["_std"] = values
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(AgentError, match="statistics"):
        load_agent(tmp_path / "m.pt", overrides=stated_overrides(activation="elu"))


def test_every_truncation_is_an_error(tmp_path: Path) -> None:
    whole = rsl_rl_2().write(tmp_path).read_bytes()
    path = tmp_path / "cut.pt"
    for end in range(1, len(whole) - 1, len(whole) // 40):
        path.write_bytes(whole[:end])
        with pytest.raises(AgentError):
            load_agent(path, overrides=stated_overrides(activation="elu"))


def test_a_configuration_that_asks_for_code(tmp_path: Path) -> None:
    rsl_rl_2().write(tmp_path)
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "agent.yaml").write_text(f"policy: !!python/object/apply:os.mkdir ['{tmp_path}/ran']\n")
    with pytest.raises(UnsafeAgentError, match=r"agent\.yaml"):
        load_agent(tmp_path / "file.pt")
    assert not (tmp_path / "ran").exists()


def test_a_pickle_that_contains_itself(tmp_path: Path) -> None:
    content: dict[str, Any] = rsl_rl_2().content
    content["infos"] = [content]
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    (tmp_path / "m.pt").write_bytes(buffer.getvalue())
    assert load_agent(tmp_path / "m.pt", overrides=stated_overrides(activation="elu")).algorithm == "rsl_rl"


def _safetensors(path: Path, header: Any, numbers: bytes) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + numbers)
    return path


STATED: dict[str, Any] = {"layers": "a,b,c", "activation": "elu", "squash": "none", "normalizer": "none"}


def test_safetensors_are_read_as_views_of_the_file(tmp_path: Path) -> None:
    net = Mlp()
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    numbers = b""
    for name, tensor in net.state("a", "b", "c").items():
        raw = tensor.numpy().tobytes()
        place = [len(numbers), len(numbers) + len(raw)]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": place}
        numbers += raw
    path = _safetensors(tmp_path / "net.safetensors", header, numbers)
    policy = policy_from_agent(load_agent(path, overrides=stated_overrides(**STATED)))
    got = policy(torch.tensor(ROWS, dtype=torch.float32)).detach().numpy()
    expected = net.run(ROWS, lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))))
    assert (np.abs(got - expected) <= 1e-5 * (1 + np.abs(expected))).all()


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 2**31]},
        {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": "two", "data_offsets": [0, 8]},
        {"dtype": "X", "shape": [2], "data_offsets": [0, 8]},
        {"shape": [2]},
        [1, 2],
    ],
)
def test_safetensors_that_lie(entry: Any, tmp_path: Path) -> None:
    path = _safetensors(tmp_path / "net.safetensors", {"a.weight": entry}, b"\0" * 16)
    with pytest.raises(DamagedAgentError, match="safetensors"):
        load_agent(path, overrides=stated_overrides(**STATED))


@pytest.mark.parametrize("header", [b'{"' + b"[" * 4000, b'{"a": 1', b'{"a"' + b" " * 2**21])
def test_headers_that_are_none(header: bytes, tmp_path: Path) -> None:
    path = _safetensors(tmp_path / "net.safetensors", header, b"\0" * 16)
    with pytest.raises(AgentError, match="safetensors"):
        load_agent(path, overrides=stated_overrides(**STATED))


def test_a_plain_pickle_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(pickle.dumps(Runs(tmp_path / "ran")))
    with pytest.raises(AgentError, match="a pickle"):
        load_agent(tmp_path / "m.pt")
    assert not (tmp_path / "ran").exists()
