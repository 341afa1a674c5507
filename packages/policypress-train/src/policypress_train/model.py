"""The library's algorithm object for a spec."""

from __future__ import annotations

import warnings
from copy import deepcopy
from typing import Any

import gymnasium
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecEnv

from policypress_runtime.errors import NativeUpdateError, PolicypressError, TrainingInputError
from policypress_train.algorithms import ALGORITHMS, Algorithm
from policypress_train.fast.dqn import FastDQN
from policypress_train.fast.sac import FastSAC
from policypress_train.fast.td3 import FastDDPG, FastTD3
from policypress_train.hyperparameters.settings import POLICY_KWARGS, library_arguments
from policypress_train.native.dqn import NativeDQN
from policypress_train.native.ppo import NativePPO
from policypress_train.native.sac import NativeSAC
from policypress_train.native.td3 import NativeDDPG, NativeTD3
from policypress_train.native.trpo import NativeTRPO
from policypress_train.qat.policies import quantized_policy
from policypress_train.spec import TrainingSpec

# PPO and TRPO have none: with it they learn by the libraries' own.
FAST: dict[str, type[BaseAlgorithm]] = {"dqn": FastDQN, "ddpg": FastDDPG, "td3": FastTD3, "sac": FastSAC}

NATIVE: dict[str, type[BaseAlgorithm]] = {
    "dqn": NativeDQN,
    "ddpg": NativeDDPG,
    "td3": NativeTD3,
    "sac": NativeSAC,
    "ppo": NativePPO,
    "trpo": NativeTRPO,
}


def build_model(spec: TrainingSpec, environments: VecEnv) -> BaseAlgorithm:
    """A new algorithm object, seeded, with its networks, in ``environments``.

    Raises:
        TrainingInputError: the library refuses the spaces or a hyperparameter, or the device is not there.
    """
    chosen = ALGORITHMS[spec.algorithm]
    _check_device(spec.device)
    space = environments.action_space
    size = int(space.shape[0]) if isinstance(space, gymnasium.spaces.Box) and space.shape else 0
    arguments = library_arguments(chosen, spec.hyperparameters, size)
    policy: Any = spec.hyperparameters.get("policy") or policy_name(environments.observation_space)
    if spec.qat is not None:
        policy, more = quantized_policy(spec.algorithm, spec.qat, policy)
        arguments[POLICY_KWARGS] = {**arguments.get(POLICY_KWARGS, {}), **more}
    try:
        with warnings.catch_warnings():
            # Said by the published choices themselves (a batch that does not divide the rollout; an MLP on a GPU).
            warnings.simplefilter("ignore", UserWarning)
            return _first_that_can(_classes(chosen, spec), policy, environments, spec, arguments)
    except PolicypressError:
        raise
    except (AssertionError, ValueError, TypeError, NotImplementedError) as error:
        raise TrainingInputError(
            f"{chosen.name} cannot be set up for {spec.environment.id}.",
            got=" ".join(str(error).split()) or type(error).__name__,
            hint="Change the algorithm, the environment, or a hyperparameter with --set name=value.",
        ) from error


def policy_name(space: gymnasium.Space[Any]) -> str:
    """The policy that the library has for such observations."""
    if isinstance(space, gymnasium.spaces.Dict):
        return "MultiInputPolicy"
    return "CnnPolicy" if is_image_space(space) else "MlpPolicy"


def _classes(chosen: Algorithm, spec: TrainingSpec) -> tuple[type[BaseAlgorithm], ...]:
    """Classes with the update that was asked for, the one to be preferred first."""
    fast, native = FAST.get(chosen.name, chosen.stock), NATIVE[chosen.name]
    return {"stock": (chosen.stock,), "fast": (fast,), "native": (native,), "auto": (native, fast)}[spec.update]


def _first_that_can(
    classes: tuple[type[BaseAlgorithm], ...],
    policy: Any,
    environments: VecEnv,
    spec: TrainingSpec,
    arguments: dict[str, Any],
) -> BaseAlgorithm:
    for kind in classes[:-1]:
        try:
            return kind(policy, environments, seed=spec.seed, device=spec.device, **deepcopy(arguments))
        except NativeUpdateError:
            continue
    if spec.kernels is None:
        return classes[-1](policy, environments, seed=spec.seed, device=spec.device, **arguments)
    return _pinned(classes[-1], policy, environments, spec, arguments)


def _pinned(
    kind: Any, policy: Any, environments: VecEnv, spec: TrainingSpec, arguments: dict[str, Any]
) -> BaseAlgorithm:
    """The algorithm object with the stated kernels, which are set before it loads its library."""
    model: Any = kind(
        policy, environments, seed=spec.seed, device=spec.device, **{**arguments, "_init_setup_model": False}
    )
    model.pinned_kernels = spec.kernels
    model._setup_model()
    built: BaseAlgorithm = model
    return built


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise TrainingInputError(
            "This device is not available.",
            got=f"{device}: {str(error).splitlines()[0][:160]}",
            expected="cpu, or cuda if torch finds a GPU",
        ) from error
