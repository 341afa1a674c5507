"""Networks that give actions between -1 and 1 where the environment's bounds are others.

Stable-Baselines3 scales what SAC's and TD3's tanh gives to the action bounds outside the network. An exported network
does not say whether its author did so too: a notice tells the user, and ``--scale-actions`` states it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from policypress.policy import layers
from policypress.policy.importers.assembly import Assembly, Decision, Value
from policypress.policy.self_check import Arrays
from policypress_runtime.contract import Box, Space
from policypress_runtime.errors import NetworkError

Network = Callable[[Arrays], npt.NDArray[np.generic]]
# Steps that are looked through for limits; networks close with a few.
DEEPEST = 16
_RANGES = {
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "erf": (-1.0, 1.0),
    "sin": (-1.0, 1.0),
    "cos": (-1.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
}
_MONOTONE = (layers.Reshape, layers.Flatten, layers.Slice, layers.Concat, layers.Transpose, layers.Clip)


def scaled(
    a: Assembly, result: Value | Decision, space: Space, stated: bool
) -> tuple[Value | Decision, tuple[str, ...]]:
    """``result`` scaled to the action bounds if the user says so, and notices.

    Args:
        a: the policy under construction.
        result: what the network gives.
        space: of the actions.
        stated: the user says that the network gives -1 to 1, which stands for the bounds.

    Raises:
        NetworkError: stated for discrete actions, or for bounds that are not finite.
    """
    if not isinstance(space, Box) or isinstance(result, Decision):
        if stated:
            raise _not_scalable(f"the action space {space}", "continuous actions")
        return result, ()
    low, high = (np.broadcast_to(bound, space.shape) for bound in space.bounds())
    if int(np.prod(result.shape)) != space.size:
        return result, ()  # refused, with its reason, where the policy is finished
    lowest, highest = (limit.numpy().reshape(space.shape) for limit in limits(a, result))
    if not stated:
        unit = np.isclose(lowest, -1.0) & np.isclose(highest, 1.0)
        other = unit & ~((low == -1.0) & (high == 1.0))
        return result, () if not other.any() else (_notice(low[other], high[other]),)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise _not_scalable("an action space without bounds", "finite action bounds")
    told = "The network's actions are scaled from [-1, 1] to the action bounds, as stated (--scale-actions)"
    beyond = bool((lowest < -1.0 - 1e-6).any() or (highest > 1.0 + 1e-6).any())
    if result.shape != space.shape:
        result = a.add("reshape", layers.Reshape(space.shape), result)
    _mark_squash(a, result)
    scaled_value = a.add("unscale", layers.Unscale(low, high), result)
    return scaled_value, (told + ("; values beyond them are clipped." if beyond else "."),)


def scaling(network: Network, space: Space, stated: bool) -> Network:
    """``network`` with its actions scaled to the bounds of ``space`` if that is stated, in float64."""
    if not stated or not isinstance(space, Box):
        return network
    low, high = (np.broadcast_to(bound, space.shape).reshape(-1).astype(np.float64) for bound in space.bounds())

    def run(observations: Arrays) -> npt.NDArray[np.generic]:
        given = np.asarray(network(observations)).astype(np.float64)
        return low + 0.5 * (given.reshape(len(given), -1) + 1.0) * (high - low)

    return run


def limits(a: Assembly, value: Value, depth: int = 0) -> tuple[Tensor, Tensor]:
    """Least and greatest number that each element of ``value`` can be, ``(1, *shape)``; infinite where unknown."""
    layer = a.producer(value)
    unknown = torch.full((1, *value.shape), -torch.inf), torch.full((1, *value.shape), torch.inf)
    if layer is None or depth > DEEPEST:
        return unknown
    if isinstance(layer, layers.Activation) and layer.name in _RANGES:
        least, greatest = _RANGES[layer.name]
        return torch.full((1, *value.shape), least), torch.full((1, *value.shape), greatest)
    clip = isinstance(layer, layers.Activation) and layer.name in ("hardtanh", "identity", "relu", "relu6")
    if not (clip or isinstance(layer, (layers.Affine, *_MONOTONE))):
        return unknown
    before = [limits(a, a.values[name], depth + 1) for name in a.sources(value)]
    with torch.no_grad():
        ends = [layer(*(pair[end] for pair in before)) for end in (0, 1)]
    low, high = torch.minimum(*ends), torch.maximum(*ends)
    # 0 · infinity where a factor is 0.
    return torch.nan_to_num(low, nan=-torch.inf, neginf=-torch.inf), torch.nan_to_num(
        high, nan=torch.inf, posinf=torch.inf
    )


def _mark_squash(a: Assembly, value: Value) -> None:
    """Give a closing tanh the role that it has in Stable-Baselines3's actors."""
    layer = a.producer(value)
    while isinstance(layer, layers.Reshape | layers.Flatten):
        value = a.values[a.sources(value)[0]]
        layer = a.producer(value)
    if isinstance(layer, layers.Activation) and layer.name == "tanh":
        layer.role = "squash"


def _notice(low: npt.NDArray[np.generic], high: npt.NDArray[np.generic]) -> str:
    least, greatest = float(low[0]), float(high[0])
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return (
            "The network's actions end between -1 and 1 (a tanh or a clip), and no finite action bounds are known; if "
            "they stand for the bounds of an environment, name it and state --scale-actions."
        )
    return (
        "The network's actions end between -1 and 1 (a tanh or a clip), and the action bounds differ, such as "
        f"{least:g} to {greatest:g}: they are used as they are. If they stand for the bounds, as SAC's and TD3's do, "
        "state --scale-actions (in Python scale_actions=True)."
    )


def _not_scalable(got: str, expected: str) -> NetworkError:
    return NetworkError(
        "The actions cannot be scaled to the action bounds.",
        got=f"--scale-actions with {got}",
        expected=expected,
        hint="Name the environment whose bounds are meant: --env ID; or leave --scale-actions out.",
    )
