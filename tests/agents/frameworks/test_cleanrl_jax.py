"""Parameters of flax, read without flax or msgpack: CleanRL's JAX scripts, and chains of which the rest is told."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from policypress.agents.frameworks.flax.cleanrl_jax import UNSCALED
from policypress.agents.frameworks.flax.flax_files import is_flax, read_flax
from policypress.agents.loading import load_agent
from policypress.agents.stated_overrides import stated_overrides
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.policy.importers.from_agent import policy_from_agent
from policypress_runtime.contract import Discrete
from policypress_runtime.errors import AgentError, DamagedAgentError, UndeterminedAgentError, UnsupportedAgentError

X = np.random.default_rng(5).normal(size=(32, 3)).astype(np.float32)


def packed(value: Any) -> bytes:
    """Msgpack as flax has it written, as far as parameters need it."""
    match value:
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int():
            return bytes([value]) if 0 <= value < 128 else b"\xd3" + struct.pack(">q", value)
        case float():
            return b"\xcb" + struct.pack(">d", value)
        case str():
            text = value.encode()
            return (bytes([0xA0 | len(text)]) if len(text) < 32 else b"\xd9" + bytes([len(text)])) + text
        case bytes():
            return b"\xc6" + struct.pack(">I", len(value)) + value
        case np.ndarray():
            held = packed([list(value.shape), value.dtype.name, value.tobytes()])
            return b"\xc9" + struct.pack(">I", len(held)) + b"\x01" + held
        case list():
            return bytes([0x90 | len(value)]) + b"".join(map(packed, value))
        case dict():
            return bytes([0x80 | len(value)]) + b"".join(packed(part) for pair in value.items() for part in pair)
    raise AssertionError(type(value))


def layers(*sizes: int, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    pairs = enumerate(pairwise(sizes))
    return {
        f"Dense_{place}": {
            "bias": rng.normal(size=after).astype(np.float32),
            "kernel": (rng.normal(size=(before, after)) / np.sqrt(before)).astype(np.float32),
        }
        for place, (before, after) in pairs
    }


def run(network: dict[str, Any], x: np.ndarray, activation: Any = lambda x: np.maximum(x, 0)) -> np.ndarray:
    x = x.astype(np.float64)
    for place in range(len(network)):
        x = x @ network[f"Dense_{place}"]["kernel"].astype(np.float64) + network[f"Dense_{place}"]["bias"]
        x = activation(x) if place + 1 < len(network) else x
    return x


def written(folder: Path, content: Any) -> Path:
    path = folder / "agent.cleanrl_model"
    path.write_bytes(packed(content))
    return path


def actions(path: Path, **stated: Any) -> np.ndarray:
    policy = policy_from_agent(load_agent(path, overrides=stated_overrides(**stated)))
    with torch.no_grad():
        return policy(torch.from_numpy(X)).numpy()


ACTOR, CRITIC = layers(3, 256, 256, 1), layers(4, 256, 256, 1, seed=1)


def test_the_actor_of_ddpg_and_td3_is_the_first_and_takes_the_bounds_of_the_environment(tmp_path: Path) -> None:
    path = written(tmp_path, {"0": {"params": ACTOR}, "1": {"params": CRITIC}, "2": {"params": CRITIC}})
    expected = np.tanh(run(ACTOR, X))
    np.testing.assert_allclose(actions(path), expected, atol=1e-5)
    assert UNSCALED in load_agent(path).assumptions
    agent = agent_in_environment(path, env="Pendulum-v1")
    with torch.no_grad():
        np.testing.assert_allclose(agent.policy(torch.from_numpy(X)).numpy(), 2 * expected, atol=1e-5)
    assert UNSCALED not in agent.policy.origin.assumptions


@pytest.mark.parametrize("outer", [lambda tree: tree, lambda tree: {"args": {"seed": 1}, "model_weights": tree}])
def test_the_network_of_dqn_chooses_among_its_outputs(tmp_path: Path, outer: Any) -> None:
    network = layers(3, 120, 84, 4)
    path = written(tmp_path, outer({"params": network}))
    assert load_agent(path).action_space == Discrete(4)
    np.testing.assert_array_equal(actions(path).reshape(-1), run(network, X).argmax(1))


def test_of_another_chain_the_rest_is_asked_for(tmp_path: Path) -> None:
    network = layers(3, 16, 2)
    path = written(tmp_path, {"params": network})
    with pytest.raises(UndeterminedAgentError) as caught:
        load_agent(path)
    told = str(caught.value)
    assert all(option in told for option in ("--activation", "--squash", "--action-size", "--normalizer"))
    stated = {"activation": "tanh", "squash": "tanh", "action_size": 2, "normalizer": "none"}
    np.testing.assert_allclose(actions(path, **stated), np.tanh(run(network, X, np.tanh)), atol=1e-5)


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        ({"params": {"Conv_0": {"kernel": np.zeros((2, 2, 4, 8), np.float32)}}}, UnsupportedAgentError, "Conv_0"),
        ({"params": {"x_0": {}, "Dense_0": {}}}, UnsupportedAgentError, "x_0"),
        ({"params": {"Dense_0": {"kernel": np.zeros((3, 2), np.float32)}}}, DamagedAgentError, "Dense_0"),
        ({"params": {"Dense_0": {"kernel": 3, "bias": "no"}}}, DamagedAgentError, "Dense_0"),
        (
            {"params": {"Dense_0": {"kernel": np.full((3, 2), np.nan, np.float32), "bias": np.zeros(2, np.float32)}}},
            DamagedAgentError,
            "finite",
        ),
        ({"params": {"Dense_0": [1, 2]}}, DamagedAgentError, "Dense_0"),
        ({"params": {"Dense_0": np.zeros(2, np.complex64)}}, UnsupportedAgentError, "complex64"),
        ({"params_0": None}, UnsupportedAgentError, "not read"),
    ],
)
def test_other_networks_are_refused_by_name(tmp_path: Path, content: Any, kind: type[AgentError], message: str) -> None:
    with pytest.raises(kind, match=message):
        load_agent(written(tmp_path, content))


HOSTILE = {
    "a claim of 2 GB": b"\x81\xa6params\xc6\x80\x00\x00\x00_0",
    "a claim of four thousand million values": b"\x81\xa6params\xdd\xff\xff\xff\xff_0",
    "a claim of an array of 2 GB": b"\x81\xa8params_0\xc7\x14\x01"
    + b"\x93\x92\xce\x00\x01\x00\x00\xce\x00\x00\x80\x00\xa7float32\xc4\x00",
    "a negative shape": b"\x81\xa8params_0" + b"\xc7\x0d\x01" + b"\x93\x91\xff\xa7float32\xc4\x00",
    "nested without an end": b"\x81\xa8params_0" + b"\x91" * 5000,
    "another extension": b"\x81\xa8params_0\xd4\x05\x00",
    "a byte that begins nothing": b"\x81\xa8params_0\xc1",
    "a name twice": b"\x82\xa8params_0\xc0\xa8params_0\xc0",
    "a number as a name": b"\x82\xa8params_0\xc0\x05\xc0",
    "a name that is no text": b"\x81\xa8params_0\xa2\xff\xfe",
    "more behind its end": b"\x81\xa8params_0\xc0\xc0",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_files_that_lie_are_refused(tmp_path: Path, content: bytes) -> None:
    assert is_flax(content)
    path = tmp_path / "agent.msgpack"
    path.write_bytes(content)
    with pytest.raises(AgentError):
        load_agent(path)


def test_every_beginning_of_a_file_is_refused() -> None:
    whole = packed({"params": layers(3, 4, 2)})
    assert set(read_flax(whole, "x")["params"]) == {"Dense_0", "Dense_1"}
    for end in range(0, len(whole) - 1, 7):
        with pytest.raises(DamagedAgentError):
            read_flax(whole[:end], "x")


def test_it_is_what_msgpack_writes() -> None:
    msgpack = pytest.importorskip("msgpack")
    tree = {"a": [1, -5, 300, 2**40, -(2**40), 1.5, None, True], "b" * 40: {"c": b"12", "d": "ü"}, "e": "x" * 300}
    tree |= {str(i): i for i in range(20)}
    assert read_flax(msgpack.packb(tree, use_bin_type=True), "x") == tree
