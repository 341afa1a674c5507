"""Whether a policy's observations survive float32: large means against small deviations do not, and actions move.

Artifacts take float32. What an environment gives in float64 (metres in a map's grid, seconds since 1970) loses up to
2⁻²⁴ of its size there; divided by a small standard deviation that is no longer small. Integers lose the same above
2²⁴.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from policypress.agents.bundle import Normaliser
from policypress.policy.layers import Normalise
from policypress.policy.policy import Policy
from policypress_runtime.contract import Box, DictSpace
from policypress_runtime.errors import UnsupportedAgentError

ROUNDING = 2.0**-24
SUSPECTED = 1e-3
"""In standard deviations, by the formula: from here on it is looked at what rounding does."""
TOLD = (1e-2, 1e-3)
"""In standard deviations, and as a share of the range of the actions (or of the scores): more gives a notice."""
REFUSED = (5e-2, 5e-3)
"""Likewise: beyond either the policy is refused. Humanoid's constant masses, to 2.8e-3 and 5e-4, are no reason."""
_ROWS = 256
_TINY = float(np.finfo(np.float32).tiny)
_SHOWN = 6
_WIDE = ("float64", "int64", "int32")
_EXACT_INTEGERS = 2.0**24
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Rounded:
    """A normaliser whose observations lose digits: its node, the observation's key, its statistics.

    ``loss`` is what rounding takes of each feature, at most, in deviations.
    """

    node: str
    key: str
    statistics: Normaliser
    loss: Doubles


def with_precision_told(policy: Policy, normaliser: Mapping[str, Normaliser]) -> Policy:
    """``policy``, with a notice where float32 is coarse for its observations.

    Args:
        policy: has ``normaliser`` in its graph.
        normaliser: statistics by observation key, in float64.

    Raises:
        UnsupportedAgentError: rounding the observations to float32 moves the actions visibly.
    """
    suspected = [found for node in policy.nodes if (found := _rounded(policy, node.name, normaliser)) is not None]
    # What never changes may be large and exact.
    lossy = [(found, moved) for found in suspected if _beyond(TOLD, moved := _moved(policy, found))]
    if not lossy:
        return policy
    words = "; ".join(f"{_in_words(found)}; actions move by {100 * share:.2g} %" for found, (_, share) in lossy)
    if any(_beyond(REFUSED, moved) for _, moved in lossy):
        raise UnsupportedAgentError(
            "In float32, observations lose digits that the policy needs.",
            got=f"{words} of their range",
            expected="observations whose means are not large compared with their standard deviations",
            hint="Subtract an offset from these observations where they are measured, in float64, and from the mean of "
            "the statistics: layer.obs_rms.mean -= offset; layer.save(FILE). Then give --normalizer FILE.",
        )
    notice = f"observations lose digits in float32: {words} of their range"
    policy.origin = replace(policy.origin, notices=(*policy.origin.notices, notice))
    return policy


def _beyond(limits: tuple[float, float], moved: tuple[float, float]) -> bool:
    return any(value > limit for value, limit in zip(moved, limits, strict=True))


def _rounded(policy: Policy, node: str, normaliser: Mapping[str, Normaliser]) -> _Rounded | None:
    if not isinstance(policy.layers[node], Normalise):
        return None
    key = _key_of(policy, node)
    space, statistics = policy.observation_space, normaliser.get(key)
    part = dict(space.spaces).get(key) if isinstance(space, DictSpace) else space
    # Statistics of another shape are those of transposed images, whose values are small.
    if (
        not isinstance(part, Box)
        or part.dtype not in _WIDE
        or statistics is None
        or statistics.mean.shape != part.shape
    ):
        return None
    size = np.abs(statistics.mean)
    exact = size < _EXACT_INTEGERS if part.dtype != "float64" else np.zeros(size.shape, bool)
    loss = np.where(exact, 0.0, ROUNDING * size / np.sqrt(statistics.variance + statistics.epsilon))
    return _Rounded(node, key, statistics, loss) if (loss > SUSPECTED).any() else None


def _key_of(policy: Policy, node: str) -> str:
    """The observation key that ``node`` reads, through whatever stands between."""
    names = {spec.name: key for key, spec in policy.inputs.items()}
    while node not in names:
        node = policy.node(node).inputs[0]
    return names[node]


def _moved(policy: Policy, found: _Rounded) -> tuple[float, float]:
    """How far rounding moves the normalised observations, and the actions (or scores) as a share of their range.

    On observations as the normaliser saw them; the rest of the network in float64.
    """
    random = np.random.default_rng(0)
    n = found.statistics
    exact = n.mean + np.sqrt(n.variance) * random.normal(size=(_ROWS, *n.mean.shape))
    double = policy.clone().double()
    normalised, outputs = [], []
    with torch.no_grad():
        values = double.run(policy.example(_ROWS))
        for given in (exact, exact.astype(np.float32).astype(np.float64)):
            normalised.append(np.clip((given - n.mean) / np.sqrt(n.variance + n.epsilon), -n.clip, n.clip))
            after = double.replay(values, found.node, torch.from_numpy(normalised[-1]))
            outputs.append(after[policy.scores_node or policy.nodes[-1].name].double().numpy().reshape(_ROWS, -1))
    share = float(np.abs(outputs[0] - outputs[1]).max() / _range_of(policy, outputs[0]))
    return float(np.abs(normalised[0] - normalised[1]).max()), share


def _range_of(policy: Policy, outputs: Doubles) -> float:
    """The least range of an action between finite bounds; that of the values seen where there are none."""
    if isinstance(policy.action_space, Box):
        low, high = policy.action_space.bounds()
        if np.isfinite(low).all() and np.isfinite(high).all():
            return max(float((high - low).min()), _TINY)
    return max(float(np.ptp(outputs)), _TINY)


def _in_words(found: _Rounded) -> str:
    mean, variance, loss = (v.reshape(-1) for v in (found.statistics.mean, found.statistics.variance, found.loss))
    worst = [int(i) for i in np.argsort(-loss) if loss[i] > SUSPECTED]
    shown = ", ".join(f"{i} (mean {mean[i]:.6g}, deviation {variance[i] ** 0.5:.3g})" for i in sorted(worst[:_SHOWN]))
    more = f" and {len(worst) - _SHOWN} more" if len(worst) > _SHOWN else ""
    named = f" of {found.key!r}" if found.key else ""
    return f"feature{'s' if len(worst) > 1 else ''} {shown}{more}{named}, off by up to {loss.max():.2g} deviations"
