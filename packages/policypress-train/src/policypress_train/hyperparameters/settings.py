"""Hyperparameters: parsed, checked, and converted to the libraries' arguments."""

from __future__ import annotations

import ast
import difflib
import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.utils import LinearSchedule
from torch import nn

from policypress_runtime.errors import TrainingInputError
from policypress_train.algorithms import Algorithm, default_of
from policypress_train.extractors import EXTRACTORS

LINEAR = "lin_"
POLICY_KWARGS = "policy_kwargs"
# Of the environment and the policy, not of the algorithm's constructor.
SURROUNDINGS = ("n_envs", "normalize", "frame_stack", "env_wrapper", "noise_type", "noise_std", "policy", "extractor")
NETWORK = ("net_arch", "activation_fn", "log_std_init", "ortho_init", "n_critics", "share_features_extractor")
NOISES = ("normal", "ornstein-uhlenbeck")
ACTIVATIONS = {"ReLU": nn.ReLU, "Tanh": nn.Tanh, "ELU": nn.ELU, "GELU": nn.GELU, "LeakyReLU": nn.LeakyReLU}
_POSITIVE = ("batch_size", "buffer_size", "n_steps", "n_epochs", "n_envs", "frame_stack", "target_update_interval")
_SCHEDULED = ("learning_rate", "clip_range")
_NONE_AFTER_A_CNN = ("dqn", "ppo", "trpo")


def parse_assignment(text: str) -> tuple[str, Any]:
    """``name=value`` from the command line; the value is a Python literal, or else the text itself.

    >>> parse_assignment("learning_rate=1e-3")
    ('learning_rate', 0.001)

    Raises:
        TrainingInputError: no ``=``, or no name.
    """
    name, equals, value = text.partition("=")
    if not equals or not all(part.isidentifier() for part in name.split(".")):
        raise TrainingInputError(
            "A hyperparameter has the form name=value.", got=repr(text), expected="for example learning_rate=1e-3"
        )
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, {"true": True, "false": False, "none": None}.get(value.lower(), value)


def merge(stated: Mapping[str, Any], overrides: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """``stated`` with each override in its place; ``net_arch`` and its like go into ``policy_kwargs``."""
    merged = dict(stated)
    for name, value in overrides:
        group, dot, inner = name.partition(".")
        if dot and group == POLICY_KWARGS:
            name = inner
        if name in NETWORK or dot:
            merged[POLICY_KWARGS] = {**merged.get(POLICY_KWARGS, {}), name: value}
        else:
            merged[name] = value
    return merged


def check(algorithm: Algorithm, hyperparameters: Mapping[str, Any]) -> None:
    """Check hyperparameters before anything is built.

    Raises:
        TrainingInputError: an unknown name, or a value of the wrong kind or out of range.
    """
    arguments = algorithm.arguments()
    known = [*arguments, *SURROUNDINGS, *NETWORK]
    for name, value in hyperparameters.items():
        if name == POLICY_KWARGS:
            _check_network(algorithm, value)
        elif name in SURROUNDINGS:
            _check_surrounding(name, value)
        elif name not in arguments:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            raise TrainingInputError(
                f"{algorithm.name} has no hyperparameter {name!r}.",
                got=f"{name}={value!r}",
                expected=", ".join(sorted(known)),
                hint=f"Did you mean {' or '.join(near)}?" if near else None,
            )
        else:
            _check_value(name, value, arguments[name])


def _check_value(name: str, value: Any, parameter: inspect.Parameter) -> None:
    default = default_of(parameter)
    if isinstance(value, str) and value.startswith(LINEAR) and name in _SCHEDULED:
        try:
            value = float(value.removeprefix(LINEAR))
        except ValueError:
            raise _wrong(name, value, f"a number, or {LINEAR}number") from None
    if name == "train_freq":
        _check_train_freq(value)
    elif isinstance(default, str):
        if not (isinstance(value, str) or _is_number(value)):
            raise _wrong(name, value, f"a number, or text like {default!r}")
    elif isinstance(default, bool):
        if not isinstance(value, bool):
            raise _wrong(name, value, "True or False")
    elif value is None and default is None:
        return
    elif not _is_number(value):
        raise _wrong(name, value, "a finite number")
    elif isinstance(default, int) and name != "max_grad_norm" and value != int(value):
        raise _wrong(name, value, "a whole number")
    elif name in (*_POSITIVE, *_SCHEDULED) and value <= 0:
        raise _wrong(name, value, "more than 0")


def _check_train_freq(value: Any) -> None:
    pair = isinstance(value, list | tuple) and len(value) == 2 and value[1] in ("step", "episode")
    number = value[0] if pair else value
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise _wrong("train_freq", value, 'a number of steps, or [number, "episode"]')


def _check_surrounding(name: str, value: Any) -> None:
    fits = {
        "n_envs": isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1024,
        "frame_stack": isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1000,
        "normalize": isinstance(value, bool | dict),
        "env_wrapper": isinstance(value, str),
        "noise_type": value in (None, *NOISES),
        "noise_std": _is_number(value) and value >= 0,
        "policy": value in ("MlpPolicy", "CnnPolicy", "MultiInputPolicy"),
        "extractor": isinstance(value, str) and value in EXTRACTORS,
    }
    expected = {
        "n_envs": "1 to 1024",
        "frame_stack": "1 to 1000",
        "normalize": "True, False, or VecNormalize's arguments",
        "env_wrapper": "the name of a wrapper",
        "noise_type": " or ".join(NOISES),
        "noise_std": "a number that is not negative",
        "policy": "MlpPolicy, CnnPolicy or MultiInputPolicy",
        "extractor": " or ".join(EXTRACTORS),
    }
    if not fits[name]:
        raise _wrong(name, value, expected[name])


def _check_network(algorithm: Algorithm, value: Any) -> None:
    if not isinstance(value, dict):
        raise _wrong(POLICY_KWARGS, value, "names and values")
    for name, item in value.items():
        if name not in NETWORK:
            near = difflib.get_close_matches(name, NETWORK, n=2, cutoff=0.5)
            raise TrainingInputError(
                f"{name!r} is not a policy argument that can be set.",
                got=f"{name}={item!r}",
                expected=", ".join(NETWORK),
                hint=f"Did you mean {' or '.join(near)}?" if near else None,
            )
        if name == "activation_fn" and item not in ACTIVATIONS:
            raise _wrong(name, item, ", ".join(ACTIVATIONS))
        if name == "net_arch":
            _check_widths(item)


def _check_widths(value: Any) -> None:
    lists = list(value.values()) if isinstance(value, dict) else [value]
    for widths in lists:
        fits = isinstance(widths, list | tuple) and all(
            isinstance(width, int) and not isinstance(width, bool) and 1 <= width <= 2**16 for width in widths
        )
        if not fits:
            raise _wrong("net_arch", value, "widths of hidden layers, e.g. [256, 256]")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _wrong(name: str, value: Any, expected: str) -> TrainingInputError:
    return TrainingInputError(f"The hyperparameter {name} has an invalid value.", got=repr(value), expected=expected)


def library_arguments(algorithm: Algorithm, hyperparameters: Mapping[str, Any], action_size: int) -> dict[str, Any]:
    """Arguments of the library's constructor: schedules, classes and noise in place of their names.

    Args:
        algorithm: whose.
        hyperparameters: checked ones.
        action_size: number of components of a continuous action; 0 for others.
    """
    arguments = {name: value for name, value in hyperparameters.items() if name not in SURROUNDINGS}
    defaults = {name: default_of(parameter) for name, parameter in algorithm.arguments().items()}
    for name, value in arguments.items():
        if isinstance(value, float) and type(defaults.get(name)) is int and value == int(value):
            arguments[name] = int(value)  # 1e6 is a whole number as people write it
        elif isinstance(value, str) and value.startswith(LINEAR):
            arguments[name] = LinearSchedule(float(value.removeprefix(LINEAR)), 0.0, 1.0)
        elif name == "train_freq" and isinstance(value, list):
            arguments[name] = tuple(value)
        elif name == POLICY_KWARGS:
            arguments[name] = _policy_arguments(value)
    if "extractor" in hyperparameters:
        arguments[POLICY_KWARGS] = _with_extractor(
            algorithm, EXTRACTORS[hyperparameters["extractor"]], arguments.get(POLICY_KWARGS, {})
        )
    noise = _noise(hyperparameters, action_size)
    if noise is not None:
        arguments["action_noise"] = noise
    return arguments


def _policy_arguments(stated: Mapping[str, Any]) -> dict[str, Any]:
    return {name: ACTIVATIONS[value] if name == "activation_fn" else value for name, value in stated.items()}


def _with_extractor(algorithm: Algorithm, extractor: type[nn.Module], stated: Mapping[str, Any]) -> dict[str, Any]:
    """Select an extractor; as with the library's own CNN, there are then no hidden layers by default."""
    widths: dict[str, Any] = {"net_arch": []} if algorithm.name in _NONE_AFTER_A_CNN else {}
    return {**widths, **stated, "features_extractor_class": extractor}


def _noise(hyperparameters: Mapping[str, Any], action_size: int) -> ActionNoise | None:
    kind, std = hyperparameters.get("noise_type"), float(hyperparameters.get("noise_std", 0.0))
    if kind is None or action_size == 0:
        return None
    mean, sigma = np.zeros(action_size), np.full(action_size, std)
    return NormalActionNoise(mean, sigma) if kind == "normal" else OrnsteinUhlenbeckActionNoise(mean, sigma)
