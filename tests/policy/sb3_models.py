"""Freshly built Stable-Baselines3 models whose every number is random, and how they are compared with a Policy."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import sb3_contrib
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm

from policypress.agents.loading import load_agent
from policypress.agents.overrides import NO_OVERRIDES, Overrides
from policypress.export.parity import to_tensors
from policypress.policy.importers.from_agent import policy_from_agent
from policypress.policy.policy import Policy
from policypress_runtime.contract import Discrete, MultiBinary, MultiDiscrete

torch.set_num_threads(1)

OFF_POLICY = ("DQN", "QRDQN", "DDPG", "TD3", "SAC", "TQC", "CrossQ")
ON_POLICY = ("A2C", "PPO", "TRPO", "MaskablePPO")

OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "vector": spaces.Box(-1.5, np.float32(2.7), (5,), np.float32),
    "single": spaces.Box(-1, 1, (1,), np.float32),
    "matrix": spaces.Box(-np.inf, np.inf, (3, 2), np.float32),
    "double": spaces.Box(-np.inf, np.inf, (4,), np.float64),
    "integers": spaces.Box(-20, 20, (3,), np.int32),
    "discrete": spaces.Discrete(6),
    "multi_discrete": spaces.MultiDiscrete([3, 1, 2]),
    "multi_binary": spaces.MultiBinary(4),
    "image": spaces.Box(0, 255, (36, 38, 3), np.uint8),
    "gray": spaces.Box(0, 255, (40, 36, 1), np.uint8),
    "channel_first": spaces.Box(0, 255, (2, 36, 36), np.uint8),
    "small_image": spaces.Box(0, 255, (20, 24, 4), np.uint8),
    "scaled_image": spaces.Box(-1, 1, (2, 36, 36), np.float32),
    "dict": spaces.Dict(
        {
            "vector": spaces.Box(-1, 1, (4,), np.float32),
            "camera": spaces.Box(0, 255, (36, 36, 1), np.uint8),
            "choice": spaces.Discrete(3),
        }
    ),
    "dict_of_all": spaces.Dict(
        {
            "z": spaces.Box(-np.inf, np.inf, (2, 2), np.float64),
            "bits": spaces.MultiBinary(2),
            "left": spaces.Box(0, 255, (36, 36, 3), np.uint8),
            "right": spaces.Box(0, 255, (36, 40, 3), np.uint8),
            "many": spaces.MultiDiscrete([2, 3]),
            "a": spaces.Box(-1, 1, (1,), np.float32),
        }
    ),
    "dict_of_vectors": spaces.Dict(
        {"b": spaces.Box(-np.inf, np.inf, (2,), np.float64), "a": spaces.Box(-1, 1, (3,), np.float32)}
    ),
}
IMAGES = ("image", "gray", "channel_first", "small_image", "scaled_image")
DICTS = ("dict", "dict_of_all", "dict_of_vectors")

ACTIONS: dict[str, spaces.Space[Any]] = {
    "uneven": spaces.Box(np.array([-0.4, -2, 0.1], np.float32), np.array([0.4, 1, 7.3], np.float32)),
    "large": spaces.Box(np.array([-1000, 5], np.float32), np.array([3000, 5e5], np.float32)),
    "unit": spaces.Box(-1, 1, (2,), np.float32),
    "matrix": spaces.Box(
        np.array([[-1, -2, -3], [0, 0, 0]], np.float32), np.array([[1, 1, 2], [0.5, 3, 9]], np.float32)
    ),
    "double": spaces.Box(-2.0, 0.3, (2,), np.float64),
    "discrete": spaces.Discrete(4),
    "pair": spaces.Discrete(2),
    "from_three": spaces.Discrete(4, start=3),
    "multi_discrete": spaces.MultiDiscrete([3, 2, 4]),
    "multi_binary": spaces.MultiBinary(3),
}
CONTINUOUS = ("uneven", "large", "unit", "matrix", "double")


class SpacesEnvironment(gym.Env[Any, Any]):
    """An environment of any spaces; nobody resets or steps it."""

    def __init__(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observation_space, action_space

    def action_masks(self) -> np.ndarray[Any, Any]:
        """Every action is allowed."""
        size = getattr(self.action_space, "nvec", np.asarray([getattr(self.action_space, "n", 1)])).sum()
        return np.ones(int(size), dtype=bool)


@dataclass(frozen=True)
class Configuration:
    """What to build: algorithm, policy kind, spaces by name, arguments of the policy and of the algorithm."""

    algorithm: str
    policy: str
    observation: str
    action: str
    policy_kwargs: dict[str, Any] = field(default_factory=dict)
    use_sde: bool = False

    def __str__(self) -> str:
        names = [getattr(v, "__name__", str(v)).replace(" ", "") for v in self.policy_kwargs.values()]
        parts = [self.algorithm, self.policy.removesuffix("Policy"), self.observation, self.action, *names]
        return "-".join([*parts, "sde"] if self.use_sde else parts)


def build_model(configuration: Configuration, seed: int = 0) -> BaseAlgorithm:
    """The model, with every tensor of its policy drawn at random."""
    c = configuration
    kind = getattr(stable_baselines3, c.algorithm, None) or getattr(sb3_contrib, c.algorithm)
    settings: dict[str, Any] = {"buffer_size": 2} if c.algorithm in OFF_POLICY else {}
    if c.algorithm in ON_POLICY:
        settings["n_steps"] = 4
    if c.algorithm in ("PPO", "TRPO", "MaskablePPO"):
        settings["batch_size"] = 4
    if c.use_sde:
        settings["use_sde"] = True
    policy_kwargs = {} if c.policy == "LinearPolicy" else {"net_arch": [8, 7], **c.policy_kwargs}
    with warnings.catch_warnings():
        # Advice to users who train: float64 and uneven action spaces, images that are scaled already.
        warnings.simplefilter("ignore")
        environment = SpacesEnvironment(OBSERVATIONS[c.observation], ACTIONS[c.action])
        model: BaseAlgorithm = kind(
            c.policy, environment, policy_kwargs=policy_kwargs, seed=seed, device="cpu", **settings
        )
    randomise(model, seed)
    return model


def randomise(model: BaseAlgorithm, seed: int) -> None:
    """Draw every tensor of the policy: nothing stays zero, one, or so small that a slip would not show."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.policy.state_dict().items():
        if not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("_var"):
            tensor.copy_(0.1 + noise**2)
        elif tensor.dim() >= 2:
            tensor.copy_(1.2 * noise / tensor[0].numel() ** 0.5)
        elif name.endswith("scale"):
            tensor.copy_(1 + 0.3 * noise)
        else:
            tensor.copy_(0.3 * noise)


def save_and_read(
    model: BaseAlgorithm, path: Path, overrides: Overrides = NO_OVERRIDES, transposed: tuple[str, ...] = ()
) -> Policy:
    """Through the zip, as a user's agent comes."""
    model.save(path)
    return policy_from_agent(load_agent(path, overrides=overrides), transposed_keys=transposed)


def draw(space: spaces.Space[Any], count: int, rng: np.random.Generator) -> Any:
    """A batch of random observations in the dtypes of the space."""
    match space:
        case spaces.Dict():
            return {key: draw(part, count, rng) for key, part in space.spaces.items()}
        case spaces.Box() if np.issubdtype(space.dtype, np.integer):
            return rng.integers(space.low, space.high, (count, *space.shape), dtype=space.dtype, endpoint=True)
        case spaces.Box():
            wide = rng.normal(size=(count, *space.shape)) * 3
            return np.clip(wide, space.low, space.high).astype(space.dtype)
        case spaces.Discrete():
            return rng.integers(space.n, size=count)
        case spaces.MultiDiscrete():
            return rng.integers(space.nvec, size=(count, len(space.nvec)))
        case spaces.MultiBinary():
            return rng.integers(2, size=(count, space.n)).astype(np.int8)
        case _:
            raise AssertionError(space)


def rounded(observations: Any) -> Any:
    """Floats rounded to float32 and kept in their own dtype."""
    if isinstance(observations, dict):
        return {key: rounded(value) for key, value in observations.items()}
    if observations.dtype == np.float64:
        return observations.astype(np.float32).astype(np.float64)
    return observations


def assert_equal_actions(policy: Policy, observations: Any, want: np.ndarray[Any, Any]) -> None:
    """The policy gives ``want``: within 2e-5·(1 + |a|); discrete: the same where the best scores are clearly apart."""
    with torch.no_grad():
        values = policy.run(to_tensors(observations))
    got = values[policy.nodes[-1].name].numpy()
    assert got.shape == want.shape
    assert np.isfinite(got).all()
    if policy.scores_node is None:
        # Folding CrossQ's batch normalisation rounds its weights once more: 1.08 times the limit was seen with 1e-5.
        np.testing.assert_array_less(np.abs(got - want), 2e-5 * (1 + np.abs(want)) + float_rounding(policy) + 1e-30)
        return
    clear = clearly_decided(policy, values[policy.scores_node].numpy())
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(got[clear], want[clear])


def float_rounding(policy: Policy) -> np.ndarray[Any, Any]:
    """Eight units in the last place of the largest bound: what is left of an action near 0 between bounds of 1000."""
    low, high = policy.action_space.bounds()
    reach = np.maximum(np.abs(low), np.abs(high))
    return np.where(np.isfinite(reach), 8 * 2.0**-24 * reach, 0.0)


def clearly_decided(policy: Policy, scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Which decisions do not hang on the last bits of a score, in the shape of the actions."""
    match policy.action_space:
        case MultiBinary():
            return np.abs(scores) > 1e-5
        case Discrete(n=n):
            counts: tuple[int, ...] = (n,)
        case MultiDiscrete(nvec=nvec):
            counts = nvec
        case _:
            raise AssertionError(policy.action_space)
    columns = []
    for part in np.split(scores, np.cumsum(counts)[:-1], axis=1):
        best = np.sort(part, axis=1)
        columns.append(best[:, -1] - best[:, -2] > 1e-5 * (1 + np.abs(best[:, -1])))
    return columns[0] if isinstance(policy.action_space, Discrete) else np.stack(columns, axis=1)
