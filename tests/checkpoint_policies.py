"""Policies as they come from checkpoints, with random numbers for tensors, and observations to press them with.

Features of the observation differ in size by a factor of 100, as positions and velocities do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from policypress.agents.bundle import Activation, AgentBundle, Cnn, Extractor, Normaliser, Provenance, Sb3Network
from policypress.compression.pipeline import CalibrationData
from policypress.environments.batches import joined
from policypress.environments.extremes import extremes
from policypress.policy.importers.from_agent import policy_from_agent
from policypress.policy.policy import Policy
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiDiscrete, Space, box

torch.set_num_threads(1)

State = dict[str, npt.NDArray[np.float32]]

FEATURES, ACTIONS = 8, 3
VECTOR = box((FEATURES,), "float32", -np.inf, np.inf)
IMAGE = box((2, 20, 20), "uint8", 0, 255)
ACTION_BOX = box((ACTIONS,), "float32", [-1.0, -2.0, 0.0], [1.0, 2.0, 4.0])
FEATURE_SIZES = np.logspace(-1, 1, FEATURES)
FLATTEN = Extractor("flatten")


def _linear(rng: np.random.Generator, name: str, inputs: int, outputs: int) -> State:
    weight = rng.normal(0.0, 1.5 / np.sqrt(inputs), (outputs, inputs))
    return {f"{name}.weight": weight.astype("f4"), f"{name}.bias": rng.normal(0.0, 0.2, outputs).astype("f4")}


def _conv(rng: np.random.Generator, name: str, inputs: int, outputs: int, kernel: int) -> State:
    weight = rng.normal(0.0, 1.5 / np.sqrt(inputs * kernel**2), (outputs, inputs, kernel, kernel))
    return {f"{name}.weight": weight.astype("f4"), f"{name}.bias": rng.normal(0.0, 0.2, outputs).astype("f4")}


def _stack(rng: np.random.Generator, prefix: str, widths: tuple[int, ...]) -> State:
    """Linear layers at positions 0, 2, 4, ... with activations between them."""
    state: State = {}
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        state |= _linear(rng, f"{prefix}.{2 * index}", inputs, outputs)
    return state


def _policy(network: Sb3Network, observations: Space, actions: Space, **fields: Any) -> Policy:
    return policy_from_agent(AgentBundle(network, observations, actions, Provenance("random", "0" * 64), **fields))


def sac(hidden: tuple[int, ...] = (32, 24), activation: Activation | None = None, seed: int = 0) -> Policy:
    """SAC: hidden layers, a mean, squashed and unscaled to bounds that differ per action."""
    rng = np.random.default_rng(seed)
    state = _stack(rng, "actor.latent_pi", (FEATURES, *hidden)) | _linear(rng, "actor.mu", hidden[-1], ACTIONS)
    return _policy(Sb3Network("sac", state, activation or Activation("relu"), FLATTEN, True), VECTOR, ACTION_BOX)


def dqn(hidden: tuple[int, ...] = (32, 24), seed: int = 0, level: float = 100.0, actions: int = 4) -> Policy:
    """DQN whose Q-values share ``level``, as those of an agent that does well."""
    rng = np.random.default_rng(seed)
    state = _stack(rng, "q_net.q_net", (FEATURES, *hidden, actions))
    state[f"q_net.q_net.{2 * len(hidden)}.bias"] += np.float32(level)
    return _policy(Sb3Network("dqn", state, Activation("relu"), FLATTEN, False), VECTOR, Discrete(actions))


def normalised_ppo(hidden: tuple[int, ...] = (32, 24), seed: int = 0) -> Policy:
    """PPO with tanh and VecNormalize; actions are clipped, not squashed."""
    rng = np.random.default_rng(seed)
    state = _stack(rng, "mlp_extractor.policy_net", (FEATURES, *hidden))
    state |= _linear(rng, "action_net", hidden[-1], ACTIONS)
    normaliser = Normaliser(rng.normal(0, 0.1, FEATURES), FEATURE_SIZES**2, 1e-8, 10.0)
    network = Sb3Network("ppo", state, Activation("tanh"), FLATTEN, False)
    return _policy(network, VECTOR, ACTION_BOX, normaliser={"": normaliser})


def shared_ppo(seed: int = 0) -> Policy:
    """PPO of Stable-Baselines3 1.x: the first layer is shared with the value network."""
    rng = np.random.default_rng(seed)
    state = _linear(rng, "mlp_extractor.shared_net.0", FEATURES, 32)
    state |= _stack(rng, "mlp_extractor.policy_net", (32, 24)) | _linear(rng, "action_net", 24, ACTIONS)
    state |= _stack(rng, "mlp_extractor.value_net", (32, 24)) | _linear(rng, "value_net", 24, 1)
    return _policy(Sb3Network("ppo", state, Activation("relu"), FLATTEN, False), VECTOR, ACTION_BOX)


def multi_discrete_ppo(seed: int = 0) -> Policy:
    """PPO that makes several choices at once."""
    rng = np.random.default_rng(seed)
    state = _stack(rng, "mlp_extractor.policy_net", (FEATURES, 32)) | _linear(rng, "action_net", 32, 7)
    return _policy(Sb3Network("ppo", state, Activation("tanh"), FLATTEN, False), VECTOR, MultiDiscrete((3, 4)))


def crossq(hidden: tuple[int, ...] = (32, 24), seed: int = 0) -> Policy:
    """CrossQ: batch renormalisation before every linear layer."""
    rng = np.random.default_rng(seed)
    state: State = {}
    widths = (FEATURES, *hidden)
    for index, width in enumerate(widths):
        name = f"actor.latent_pi.{3 * index}"
        state |= {
            f"{name}.scale": rng.uniform(0.5, 1.5, width).astype("f4"),
            f"{name}.bias": rng.normal(0, 0.2, width).astype("f4"),
            f"{name}.ra_mean": rng.normal(0, 0.2, width).astype("f4"),
            f"{name}.ra_var": rng.uniform(0.5, 2.0, width).astype("f4"),
        }
        if index < len(hidden):
            state |= _linear(rng, f"actor.latent_pi.{3 * index + 1}", width, widths[index + 1])
    state |= _linear(rng, "actor.mu", hidden[-1], ACTIONS)
    return _policy(Sb3Network("crossq", state, Activation("relu"), FLATTEN, True), VECTOR, ACTION_BOX)


def cnn_dqn(seed: int = 0) -> Policy:
    """DQN on images: two convolutions, a flatten, a linear layer, a Q-value layer."""
    rng = np.random.default_rng(seed)
    state = _image_extractor(rng, "q_net.features_extractor.") | _linear(rng, "q_net.q_net.0", 32, 4)
    extractor = Extractor("cnn", "q_net.features_extractor.", Cnn((2, 2), (0, 0)))
    return _policy(Sb3Network("dqn", state, Activation("relu"), extractor, False), IMAGE, Discrete(4))


def _image_extractor(rng: np.random.Generator, prefix: str) -> State:
    # 20 → (20 − 4)/2 + 1 = 9 → (9 − 3)/2 + 1 = 4
    state = _conv(rng, f"{prefix}cnn.0", 2, 8, 4) | _conv(rng, f"{prefix}cnn.2", 8, 12, 3)
    return state | _linear(rng, f"{prefix}linear.0", 12 * 4 * 4, 32)


def dict_td3(seed: int = 0, *, vector_first: bool = False) -> Policy:
    """TD3 on a dict: an image through convolutions and a vector, concatenated in either order."""
    rng = np.random.default_rng(seed)
    prefix = "actor.features_extractor."
    state = _image_extractor(rng, f"{prefix}extractors.camera.")
    state |= _stack(rng, "actor.mu", (32 + FEATURES, 32, ACTIONS))
    extractor = Extractor("combined", prefix, Cnn((2, 2), (0, 0)), ("camera",))
    parts = [("camera", IMAGE), ("vector", VECTOR)]
    space = DictSpace(tuple(reversed(parts) if vector_first else parts))
    return _policy(Sb3Network("td3", state, Activation("relu"), extractor, True), space, ACTION_BOX)


def vector_first_td3() -> Policy:
    """:func:`dict_td3` with the vector before the image."""
    return dict_td3(vector_first=True)


def observations_of(space: Space, count: int, seed: int = 0) -> Any:
    """A batch of ``count`` plausible observations of ``space``."""
    rng = np.random.default_rng(seed)
    if isinstance(space, DictSpace):
        return {key: observations_of(part, count, seed + 1) for key, part in space.spaces}
    if not isinstance(space, Box):
        raise TypeError(f"no observations of {space}")
    if space.dtype == "uint8":
        channels, height, width = space.shape
        coarse = rng.integers(0, 256, (count, channels, height // 4, width // 4), dtype=np.uint8)
        return coarse.repeat(4, axis=2).repeat(4, axis=3)
    return (rng.normal(0.0, 1.0, (count, *space.shape)) * FEATURE_SIZES).astype("f4")


def materials_for(policy: Policy, count: int = 256, seed: int = 0) -> CalibrationData:
    """Observations to press ``policy`` with; those for parity include extreme ones."""
    space = policy.observation_space
    calibration = observations_of(space, count, seed)
    edges = extremes(space, calibration, 16, np.random.default_rng(seed))
    parity = joined(observations_of(space, count // 4, seed + 100), edges)
    return CalibrationData(calibration, observations_of(space, count // 4, seed + 200), parity)


POLICIES: Mapping[str, Callable[[], Policy]] = {
    "sac": sac,
    "dqn": dqn,
    "normalised_ppo": normalised_ppo,
    "shared_ppo": shared_ppo,
    "multi_discrete_ppo": multi_discrete_ppo,
    "crossq": crossq,
    "cnn_dqn": cnn_dqn,
    "dict_td3": dict_td3,
    "vector_first_td3": vector_first_td3,
}
"""One builder of each kind of policy, by name."""
