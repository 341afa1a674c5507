"""A live Stable-Baselines3 model, policy, actor or Q-network as a module that gives the environment's action.

The library is not imported: its objects are known by the names of their classes. What acts is traced through their own
code, so that an overridden ``forward``, extractor or network counts as it stands, and compared with ``predict``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from policypress.agents.bundle import Normaliser
from policypress.agents.sb3.algorithm import ALIASES
from policypress.policy.observation_layers import CHANNEL_FIRST, channel_last
from policypress.policy.policy import SINGLE_KEY
from policypress.policy.self_check import Arrays
from policypress_runtime.contract import Box, DictSpace, Space
from policypress_runtime.errors import NetworkError

_LIBRARIES = ("stable_baselines3", "sb3_contrib")


def _is(thing: Any, name: str) -> bool:
    """Whether a class of the library called ``name`` is among those of ``thing``."""
    return any(
        kind.__name__ == name and kind.__module__.partition(".")[0] in _LIBRARIES for kind in type(thing).__mro__
    )


def is_live(thing: Any) -> bool:
    """Whether ``thing`` is a model of Stable-Baselines3, or a network of it that acts."""
    return _is(thing, "BaseAlgorithm") or _is(thing, "BasePolicy")


@dataclass(frozen=True)
class Live:
    """What of a live object the translation needs.

    Args:
        module: from an observation batch to the environment's action, or what it is chosen by.
        predict: the object's own, on arrays by key, normalised as it expects.
        observation_space: what the module takes: the library's own form of gymnasium space.
        action_space: what it acts in.
        normaliser: statistics of the model's ``VecNormalize`` by key.
        algorithm: of a model, if it is known.
        notices: for the user.
    """

    module: Acting
    predict: Any
    observation_space: Any
    action_space: Any
    normaliser: Mapping[str, Normaliser]
    algorithm: str
    notices: tuple[str, ...]


def live(thing: Any) -> Live:
    """The parts of a model, or of a network of a model.

    Raises:
        NetworkError: it has memory.
    """
    whole = _is(thing, "BaseAlgorithm")
    network = thing.policy if whole else thing
    if any("Recurrent" in kind.__name__ for kind in type(network).__mro__):
        raise NetworkError(
            "Recurrent policies are not read from a live model.",
            got=type(network).__name__,
            expected="the zip that it saves",
            hint="model.save('agent.zip'), and give agent.zip.",
        )
    if any(p.device.type != "cpu" for p in network.parameters()):
        network = copy.deepcopy(network).cpu()
        thing = thing if not whole else network
    normaliser, notices = _normaliser_of(thing) if whole else ({}, ())
    names = (kind.__name__.lower() for kind in type(thing).__mro__) if whole else iter(())
    algorithm = next((ALIASES[name] for name in names if name in ALIASES), "module")
    return Live(Acting(network), thing.predict, _seen_by(thing), thing.action_space, normaliser, algorithm, notices)


def _seen_by(thing: Any) -> Any:
    """The observation space, with images as the environment gives them where the model turns them itself."""
    env = getattr(thing, "env", None)
    while env is not None:
        if type(env).__name__ == "VecTransposeImage":
            return env.venv.observation_space
        env = getattr(env, "venv", None)
    return thing.observation_space


def _normaliser_of(model: Any) -> tuple[dict[str, Normaliser], tuple[str, ...]]:
    if model.env is None:
        return {}, (
            "The model has no environment, so no VecNormalize statistics; if it was trained with them, "
            "pass them as normaliser=.",
        )
    found = model.get_vec_normalize_env()
    if found is None or not found.norm_obs:
        return {}, ()
    statistics = found.obs_rms if isinstance(found.obs_rms, Mapping) else {SINGLE_KEY: found.obs_rms}
    read = {
        key: Normaliser(
            np.asarray(item.mean, np.float64), np.asarray(item.var, np.float64), found.epsilon, found.clip_obs
        )
        for key, item in statistics.items()
    }
    return read, ("Observations are normalised with the statistics of the model's VecNormalize.",)


def arranged(normaliser: Mapping[str, Normaliser], space: Space) -> dict[str, Normaliser]:
    """Statistics of images in the layout of ``space``; others as they are."""
    parts = dict(space.spaces) if isinstance(space, DictSpace) else {SINGLE_KEY: space}
    result: dict[str, Normaliser] = {}
    for key, item in normaliser.items():
        part = parts.get(key)
        result[key] = item
        for source, target in ((-1, 0), (0, -1)):
            if isinstance(part, Box) and item.mean.ndim == 3 and item.mean.shape != part.shape:
                mean, variance = (np.moveaxis(array, source, target) for array in (item.mean, item.variance))
                if mean.shape == part.shape:
                    result[key] = Normaliser(mean, variance, item.epsilon, item.clip)
    return result


def transposed_keys(own: Space, given: Space) -> tuple[str, ...]:
    """Keys of images that ``given`` has channels last and ``own``, the network's, channels first.

    Raises:
        NetworkError: the spaces differ in another way.
    """
    network = dict(own.spaces) if isinstance(own, DictSpace) else {SINGLE_KEY: own}
    caller = dict(given.spaces) if isinstance(given, DictSpace) else {SINGLE_KEY: given}
    turned: list[str] = []
    for key, part in network.items():
        other = caller.get(key)
        if isinstance(part, Box) and isinstance(other, Box) and part.shape != other.shape:
            if len(part.shape) == 3 and channel_last(part).shape == other.shape:
                turned.append(key)
                continue
        elif type(part) is type(other):
            continue
        raise NetworkError("The observation space is not the model's.", got=repr(given), expected=repr(own))
    return tuple(turned)


class Acting(nn.Module):
    """From an observation batch to the action, or to what it is chosen by, through the network's own code."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.turned: tuple[str, ...] = ()

    def forward(self, observation: Tensor | dict[str, Tensor]) -> Tensor:
        """Batch first."""
        if isinstance(observation, Tensor):
            given: Any = observation.permute(CHANNEL_FIRST) if self.turned else observation
        else:
            given = {
                key: value.permute(CHANNEL_FIRST) if key in self.turned else value for key, value in observation.items()
            }
        with _unchecked():
            acted = self._act(given)
        space = self.network.action_space
        if not hasattr(space, "low"):
            return acted
        acted = acted.reshape(-1, *space.shape)
        if not self.network.squash_output:
            return acted
        low, high = (np.asarray(bound, np.float64) for bound in (space.low, space.high))
        if bool((low == -1).all() and (high == 1).all()):
            return acted
        half, middle = (torch.as_tensor(part.astype(np.float32)) for part in ((high - low) / 2, (high + low) / 2))
        return acted * half + middle

    def _act(self, given: Any) -> Tensor:
        own = type(self.network)._predict.__module__.partition(".")[0]
        if own in _LIBRARIES and hasattr(self.network, "get_distribution"):
            scores = _scores(self.network.get_distribution(given), type(self.network.action_space).__name__)
            if scores is not None:
                return scores
        action: Tensor = self.network._predict(given, deterministic=True)
        return action


def _scores(chosen_from: Any, space: str) -> Tensor | None:
    """What the mode of a distribution over choices is taken from; None where it is over numbers."""
    inner = getattr(chosen_from, "distributions", None) or getattr(chosen_from, "distribution", None)
    parts: list[Any] = list(inner) if isinstance(inner, list | tuple) else [inner]
    if not all(isinstance(p, torch.distributions.Categorical | torch.distributions.Bernoulli) for p in parts):
        return None
    if space == "MultiBinary" and isinstance(parts[0], torch.distributions.Categorical):
        # MaskablePPO scores "off" and "on" of every bit.
        return torch.cat([part.logits[:, 1:] - part.logits[:, :1] for part in parts], dim=1)
    if space == "MultiDiscrete":
        return torch.stack([part.logits.argmax(dim=1) for part in parts], dim=1)
    return torch.cat([part.logits for part in parts], dim=1)


@contextmanager
def _unchecked() -> Iterator[None]:
    """Let distributions be traced: they check and broadcast their arguments by control flow that no trace can hold.

    What they are given fits already, and the comparison with ``predict`` checks the result.
    """
    distribution: Any = torch.distributions.Distribution
    kinds: tuple[Any, ...] = (torch.distributions.normal, torch.distributions.bernoulli)
    before, broadcast = distribution._validate_args, kinds[0].broadcast_all
    distribution.set_default_validate_args(False)
    for kind in kinds:
        kind.broadcast_all = lambda *given: given if _alike(given) else broadcast(*given)
    try:
        yield
    finally:
        distribution.set_default_validate_args(before)
        for kind in kinds:
            kind.broadcast_all = broadcast


def _alike(given: tuple[Any, ...]) -> bool:
    return all(isinstance(part, Tensor) and part.dim() == given[0].dim() for part in given) and all(
        part.shape[1:] == given[0].shape[1:] for part in given
    )


def predicted(predict: Any, given: Arrays) -> npt.NDArray[np.generic]:
    """What the live object itself answers.

    Raises:
        NetworkError: it fails.
    """
    observation = given[SINGLE_KEY] if given.keys() == {SINGLE_KEY} else given
    # The user's code: whatever it raises is about the model, not about us.
    try:
        action, _ = predict(observation, deterministic=True)
    except Exception as error:
        raise NetworkError(
            "The model fails on an observation of its space.",
            got=f"{type(error).__name__}: {error}",
            expected="predict(observation, deterministic=True)",
        ) from error
    result: npt.NDArray[np.generic] = np.asarray(action)
    return result
