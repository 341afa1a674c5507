"""Changing the files that Stable-Baselines3 saved, and comparing what is read with the live model."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from policypress.agents.bundle import AgentBundle, Sb3Network
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete, Space


def network_of(bundle: AgentBundle) -> Sb3Network:
    assert isinstance(bundle.network, Sb3Network)
    return bundle.network


def assert_same_space(read: Space, live: gymnasium.Space[Any]) -> None:
    match read:
        case Box():
            assert isinstance(live, gymnasium.spaces.Box)
            assert (read.shape, read.dtype) == (live.shape, str(live.dtype))
            low, high = read.bounds()
            np.testing.assert_allclose(low, live.low, rtol=1e-7)
            np.testing.assert_allclose(high, live.high, rtol=1e-7)
            if live.dtype == np.float32:
                assert np.array_equal(low.astype(np.float32), live.low)
        case Discrete():
            assert isinstance(live, gymnasium.spaces.Discrete)
            assert (read.n, read.start) == (live.n, live.start)
        case MultiDiscrete():
            assert isinstance(live, gymnasium.spaces.MultiDiscrete)
            assert read.nvec == tuple(live.nvec)
        case MultiBinary():
            assert isinstance(live, gymnasium.spaces.MultiBinary)
            assert read.n == live.n
        case DictSpace():
            assert isinstance(live, gymnasium.spaces.Dict)
            assert [key for key, _ in read.spaces] == list(live.spaces)
            for key, space in read.spaces:
                assert_same_space(space, live.spaces[key])


def assert_acts_like(bundle: AgentBundle, model: Any) -> None:
    """The tensors of every layer that ``predict`` runs through are there, and no others; flags are the model's."""
    network = network_of(bundle)
    live = {name: tensor.numpy().astype(np.float32) for name, tensor in model.policy.state_dict().items()}
    assert set(network.state) <= set(live)
    two_scores = network.algorithm == "maskable_ppo" and isinstance(bundle.action_space, MultiBinary)
    for name, array in network.state.items():
        assert array.dtype == np.float32
        if two_scores and name.startswith("action_net."):
            assert np.array_equal(array, live[name][1::2] - live[name][::2])
            continue
        assert np.array_equal(array, live[name])
    for word in ("critic", "target", "value_net", "vf_features_extractor", "log_std", "steps"):
        assert not any(word in name for name in network.state)
    assert network.squash_output == model.policy.squash_output
    assert_same_space(bundle.observation_space, model.observation_space)
    assert_same_space(bundle.action_space, model.action_space)


def rewrite(path: Path, **members: bytes | None) -> Path:
    """Copy of the zip with members replaced (``policy`` stands for ``policy.pth``) or left out (None)."""
    changed = path.with_name("changed.zip")
    replaced = {("policy.pth" if name == "policy" else name): content for name, content in members.items()}
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = replaced.get(name, old.read(name)) if name not in replaced else replaced[name]
            if content is not None:
                new.writestr(name, content)
    return changed


def data_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        data: dict[str, Any] = json.loads(archive.read("data"))
    return data


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    with zipfile.ZipFile(path) as archive:
        tensors: dict[str, torch.Tensor] = torch.load(io.BytesIO(archive.read("policy.pth")), weights_only=True)
    return tensors


def with_tensors(path: Path, tensors: dict[str, Any], **save: Any) -> Path:
    buffer = io.BytesIO()
    torch.save(tensors, buffer, **save)
    return rewrite(path, policy=buffer.getvalue())


def set_fields(path: Path, **fields: Any) -> Path:
    return rewrite(path, data=json.dumps({**data_of(path), **fields}).encode())


def stripped(path: Path, prefix: str) -> Path:
    """What remains after a policy-only export: readable fields of a few entries, acting tensors."""
    data = data_of(path)
    kept: dict[str, Any] = {}
    for key in ("policy_class", "policy_kwargs", "observation_space", "action_space", "use_sde"):
        value = data[key]
        if isinstance(value, dict):
            value = {k: v for k, v in value.items() if k != ":serialized:" and " at 0x" not in str(v)}
        kept[key] = value
    kept["env_id"] = "Some-v3"
    tensors = {name: t for name, t in tensors_of(path).items() if name.startswith(prefix)}
    return rewrite(with_tensors(path, tensors).rename(path.with_name("acting.zip")), data=json.dumps(kept).encode())
