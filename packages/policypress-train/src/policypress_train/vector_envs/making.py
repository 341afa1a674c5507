"""The environments of a training: for learning (a Stable-Baselines3 VecEnv), and for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper, VecFrameStack, VecNormalize

from policypress.environments.making import make
from policypress.environments.trust import trusted_modules
from policypress.environments.wrappers import allowed as wrappers
from policypress.environments.wrappers.observation import Env
from policypress_runtime.contract import EnvironmentSpec, WrapperSpec
from policypress_runtime.errors import TrainingInputError
from policypress_train.fast.environments import LeanVecEnv
from policypress_train.spec import TrainingSpec
from policypress_train.vector_envs.replayable import Replayable, count_resets

_ATARI = "AtariWrapper"


def learning_environments(spec: TrainingSpec) -> VecEnv:
    """The training environments: monitored and replayable, normalised and stacked as the spec says.

    Raises:
        EnvironmentInputError: the environment cannot be made.
        TrainingInputError: arguments of VecNormalize that it does not take.
    """
    hyperparameters = spec.hyperparameters
    count = int(hyperparameters.get("n_envs", 1))
    environments: VecEnv = LeanVecEnv([_factory(spec.environment) for _ in range(count)])
    normalize = hyperparameters.get("normalize", False)
    frames = int(hyperparameters.get("frame_stack", 1))
    if normalize and frames > 1:
        raise TrainingInputError(
            "Stacked observations cannot be normalised.",
            got=f"normalize={normalize}, frame_stack={frames}",
            expected="one of the two",
        )
    if normalize:
        environments = _normalised(environments, normalize, hyperparameters)
    return VecFrameStack(environments, frames) if frames > 1 else environments


def evaluation_environment(spec: TrainingSpec) -> Env:
    """The evaluation environment: raw rewards, whole games, observations before normalisation.

    Raises:
        EnvironmentInputError: the environment cannot be made.
    """
    return make(acting_environment(spec))


def acting_environment(spec: TrainingSpec) -> EnvironmentSpec:
    """The environment with every wrapper that the agent acts through, stacking included."""
    frames = int(spec.hyperparameters.get("frame_stack", 1))
    if frames == 1:
        return spec.environment
    stack = WrapperSpec("frame_stack", (("n_stack", frames),))
    return replace(spec.environment, wrappers=(*spec.environment.wrappers, stack))


def normaliser(environments: VecEnv) -> VecNormalize | None:
    """The normaliser among the layers, if there is one."""
    layer: Any = environments
    while isinstance(layer, VecEnvWrapper):
        if isinstance(layer, VecNormalize):
            return layer
        layer = layer.venv
    return None


def frame_stack(environments: VecEnv) -> VecFrameStack | None:
    """The frame stack among the layers, if there is one."""
    layer: Any = environments
    while isinstance(layer, VecEnvWrapper):
        if isinstance(layer, VecFrameStack):
            return layer
        layer = layer.venv
    return None


def innermost(environments: VecEnv) -> DummyVecEnv:
    """The innermost ``VecEnv``, which holds the environments."""
    layer: Any = environments
    while isinstance(layer, VecEnvWrapper):
        layer = layer.venv
    found: DummyVecEnv = layer
    return found


def _factory(spec: EnvironmentSpec) -> Callable[[], Env]:
    def build() -> Env:
        env: Env = Monitor(count_resets(make(replace(spec, wrappers=()))))
        for wrapper in spec.wrappers:
            # In training a lost life ends the episode and rewards are clipped, so here it is the library's own.
            own = wrapper.name == _ATARI
            env = AtariWrapper(env, **dict(wrapper.kwargs)) if own else _applied(env, wrapper, spec)
        return Replayable(env)

    return build


def _applied(env: Env, wrapper: WrapperSpec, spec: EnvironmentSpec) -> Env:
    return wrappers.apply(env, wrapper, trusted_modules(spec))


def _normalised(environments: VecEnv, stated: Any, hyperparameters: Mapping[str, Any]) -> VecNormalize:
    arguments = dict(stated) if isinstance(stated, dict) else {}
    try:
        return VecNormalize(environments, **{"gamma": hyperparameters.get("gamma", 0.99), **arguments})
    except (TypeError, ValueError, AssertionError) as error:
        raise TrainingInputError(
            "VecNormalize does not take these arguments.", got=f"{arguments}: {error}", expected="norm_obs, norm_reward"
        ) from error
