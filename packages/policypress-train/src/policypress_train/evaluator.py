"""Evaluation during training: deterministic actions, a separate environment, always the same seeds."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from policypress.environments.rollout import run_episode
from policypress.environments.wrappers.observation import Env
from policypress.seeding import episode_seeds
from policypress_train.checkpoints.randomness import PreservedRandomState
from policypress_train.record import TrainingEvaluation

PURPOSE = "training evaluation"


class Evaluator:
    """Evaluates a model; the training's random generators are left unchanged.

    Args:
        env: raw rewards and observations; closed by :meth:`close`.
        seed: the training's.
        episodes: of each evaluation.
    """

    def __init__(self, env: Env, seed: int, episodes: int) -> None:
        self._env = env
        self._seeds = episode_seeds(seed, PURPOSE, episodes)

    def evaluate(self, model: BaseAlgorithm, layer: VecNormalize | None) -> TrainingEvaluation:
        """Run the evaluation episodes; ``layer`` normalises the observations, if given."""

        def act(observation: Any) -> Any:
            seen = observation if layer is None else layer.normalize_obs(observation)
            return model.predict(seen, deterministic=True)[0]

        mode = model.policy.training
        with PreservedRandomState():
            rows = [run_episode(self._env, act, seed) for seed in self._seeds]
        model.policy.set_training_mode(mode)
        return TrainingEvaluation(
            model.num_timesteps,
            self._seeds,
            tuple(row.episode_return for row in rows),
            tuple(row.length for row in rows),
        )

    def close(self) -> None:
        """Close the environment."""
        self._env.close()
