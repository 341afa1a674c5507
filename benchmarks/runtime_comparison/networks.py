"""The networks that are compared, each as artifacts: fp32, dynamic, QDQ int8, and int8 with half the channels."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from policypress.compression.pipeline import CalibrationData, build_artifact
from policypress.compression.recipe import Recipe
from policypress.engine.tasks.calibration import Calibration
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.policy.policy import Policy
from policypress.records import ArtifactRecord

Array = npt.NDArray[Any]
FP32, DYNAMIC, INT8, PRUNED = "fp32", "dynamic", "int8", "int8 + 50 % pruned"
RECIPES = {
    FP32: "none",
    DYNAMIC: "ptdq",
    INT8: "equalize > int8",
    PRUNED: "prune(l2, 0.5) > equalize > int8",
}
HUMANOID_SIZES = (376, 256, 256, 17)
ATARI_ACTIONS = 6
CALIBRATION = 256
OBSERVATIONS = 64


@dataclass(frozen=True)
class Artifact:
    """One variant of a network: the ONNX file and what is known of it."""

    model: bytes
    record: ArtifactRecord


@dataclass(frozen=True)
class Network:
    """A network to compare runtimes on.

    Args:
        name: as in the table; says where the weights come from.
        policy: the fp32 policy.
        sb3: makes Stable-Baselines3's own policy object of the same sizes.
        artifacts: variant → artifact.
        observations: a batch to act on.
    """

    name: str
    policy: Policy
    sb3: Callable[[], Any]
    artifacts: dict[str, Artifact]
    observations: Array


def cheetah(agent: str) -> Network:
    """The SAC actor of a trained agent, calibrated on what it meets."""
    subject = agent_in_environment(agent)
    materials = Calibration(subject).materials
    return _network("HalfCheetah 17-256-256-6 (SAC agent)", subject.policy, _sac(17, 6), materials)


def humanoid() -> Network:
    """An actor of Humanoid's sizes with random weights: speed does not depend on their values."""
    torch.manual_seed(0)
    seen, first, second, acts = HUMANOID_SIZES
    layers = [
        nn.Linear(seen, first),
        nn.ReLU(),
        nn.Linear(first, second),
        nn.ReLU(),
        nn.Linear(second, acts),
        nn.Tanh(),
    ]
    space = gymnasium.spaces.Box(-np.inf, np.inf, (seen,), np.float32)
    policy = Policy.from_module(nn.Sequential(*layers), space, gymnasium.spaces.Box(-1, 1, (acts,), np.float32))
    seen_rows = np.random.default_rng(0).normal(size=(3 * CALIBRATION, seen)).astype(np.float32)
    return _network("Humanoid 376-256-256-17 (random weights)", policy, _sac(seen, acts), _divided(seen_rows))


class _Nature(nn.Module):
    """Mnih et al. 2015: three convolutions, 512 units, one score per action."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, ATARI_ACTIONS)),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores."""
        scores: torch.Tensor = self.layers(image.float() / 255.0)
        return scores


def nature() -> Network:
    """The Nature CNN with random weights."""
    torch.manual_seed(0)
    space = gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8)
    policy = Policy.from_module(_Nature(), space, gymnasium.spaces.Discrete(ATARI_ACTIONS))
    images = np.random.default_rng(0).integers(0, 256, (3 * OBSERVATIONS, 4, 84, 84), dtype=np.uint8)

    def sb3() -> Any:
        from stable_baselines3.dqn import CnnPolicy

        return CnnPolicy(space, gymnasium.spaces.Discrete(ATARI_ACTIONS), lambda _: 0.0)

    return _network("Nature CNN 84×84×4 (random weights)", policy, sb3, _divided(images))


def _sac(seen: int, acts: int) -> Callable[[], Any]:
    def make() -> Any:
        from stable_baselines3.sac.policies import SACPolicy

        observations = gymnasium.spaces.Box(-np.inf, np.inf, (seen,), np.float32)
        return SACPolicy(observations, gymnasium.spaces.Box(-1, 1, (acts,), np.float32), lambda _: 0.0)

    return make


def _divided(rows: Array) -> CalibrationData:
    third = len(rows) // 3
    return CalibrationData(rows[:third], rows[third : 2 * third], rows[2 * third :])


def _network(name: str, policy: Policy, sb3: Callable[[], Any], materials: CalibrationData) -> Network:
    artifacts = {}
    for variant, recipe in RECIPES.items():
        compressed = build_artifact(policy, Recipe.parse(recipe), materials)
        artifacts[variant] = Artifact(compressed.artifact.model, compressed.record)
    held_out = materials.held_out
    assert isinstance(held_out, np.ndarray)
    rows = held_out[:OBSERVATIONS]
    if rows.dtype != np.uint8:
        rows = rows.astype(np.float32)
    return Network(name, policy, sb3, artifacts, np.ascontiguousarray(rows))


def files_of(network: Network) -> dict[str, Path]:
    """The artifacts on disk, in a folder of their own."""
    folder = Path(tempfile.mkdtemp(prefix="policypress-"))
    paths = {}
    for number, (variant, artifact) in enumerate(network.artifacts.items()):
        paths[variant] = folder / f"variant_{number}.onnx"
        paths[variant].write_bytes(artifact.model)
    return paths
