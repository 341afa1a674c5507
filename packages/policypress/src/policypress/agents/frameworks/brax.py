"""Brax's and MuJoCo Playground's parameters as ``brax.io.model.save_params`` pickles them: normaliser, policy, value.

The policy is an MLP whose outputs are a mean and a deviation of each action; the action is tanh of the mean.
Observations are (x - mean) / deviation, without a clip. Kernels are ``(in, out)``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from policypress.agents.archive import listing
from policypress.agents.bundle import Array, Dense, Normaliser
from policypress.agents.frameworks.chains import HINT, Gap, Part
from policypress.agents.frameworks.found import Found
from policypress.agents.frameworks.normalisers import outside_root
from policypress.agents.frameworks.run_config import RunConfig
from policypress.agents.normalisers.search import NONE
from policypress.agents.overrides import Overrides
from policypress.agents.pickles.inert import Record, array_of, read_pickle
from policypress_runtime.errors import DamagedAgentError, UnsupportedAgentError

_STATISTICS = "brax.training.acme.running_statistics"
_NAMES = frozenset(
    [
        *(f"{_STATISTICS}.{name}" for name in ("RunningStatisticsState", "NormalizationMode", "NestedMeanStd")),
        "brax.training.types.UInt64",
    ]
)
_HIDDEN = re.compile(r"hidden_(\d{1,3})")
_MARK_BYTES = 512
# Of observations in several parts, the one that the policy sees unless its configuration says another.
_OBSERVATION = "state"


def recognises(content: bytes) -> bool:
    """A pickle that begins with Brax's statistics of observations."""
    return content[:1] == b"\x80" and _STATISTICS.encode() in content[:_MARK_BYTES]


def read(content: bytes, label: str, config: RunConfig, overrides: Overrides) -> Found:
    """The policy of PPO or SAC.

    Raises:
        UnsafeAgentError: the pickle asks for anything but arrays and Brax's own records.
        UnsupportedAgentError: the policy is no MLP, or its configuration changes the distribution.
        DamagedAgentError: it is truncated, or its arrays do not fit.
    """
    parts = read_pickle(content, label, more=_NAMES)
    if not isinstance(parts, tuple | list) or len(parts) < 2 or not isinstance(parts[0], Record):
        raise _damaged(label, type(parts).__name__)
    layers = _layers(label, parts[1])
    distribution = config.at("network_factory_kwargs.distribution_type")
    clip = config.at("network_factory_kwargs.mean_clip_scale")
    if distribution not in (None, "tanh_normal") or clip is not None:
        raise UnsupportedAgentError(
            "The agent's distribution of actions is not read.",
            got=f"distribution_type {str(distribution)[:40]}, mean_clip_scale {str(clip)[:40]}",
            expected="tanh_normal, without a mean_clip_scale",
            hint=HINT,
        )
    width = int(layers[0].weight.shape[1])
    stated_none = overrides.normalizer == NONE or config.at("normalize_observations") is False
    told = config.at("normalize_observations") is True
    chain: list[Part] = []
    for place, layer in enumerate(layers):
        chain += [Gap.ACTIVATION, layer] if place else [layer]
    return Found(
        "brax",
        "Brax",
        tuple(chain),
        config.activation("network_factory_kwargs.activation"),
        config.name,
        None if stated_none else _normaliser(label, parts[0], width, config),
        squash="tanh",
        halves=True,
        notices=() if told or stated_none else (_NORMALISED,),
        assumptions=() if told or stated_none else (_NORMALISED,),
    )


_NORMALISED = (
    "observations are normalised with the statistics in Brax's file, which has them for trainings without "
    "normalize_observations too; --normalizer none leaves them out"
)


def _layers(label: str, policy: Any) -> list[Dense]:
    tree = policy.get("params") if isinstance(policy, Mapping) else None
    names = {str(name): value for name, value in tree.items()} if isinstance(tree, Mapping) else {}
    strange = sorted(name for name in names if not _HIDDEN.fullmatch(name))
    if strange or not names:
        raise UnsupportedAgentError(
            f"{label}: the policy is no chain of linear layers.",
            got="parameters " + listing(strange, 6),
            expected="hidden_0, hidden_1, ...",
            hint=HINT,
        )
    found: list[Dense] = []
    for name in sorted(names, key=lambda name: int(name.removeprefix("hidden_"))):
        layer = names[name]
        kernel, bias = (_array(label, layer, key) for key in ("kernel", "bias"))
        if kernel.ndim != 2 or 0 in kernel.shape or bias.shape != kernel.shape[1:]:
            raise _damaged(label, f"{name}: kernel {kernel.shape}, bias {bias.shape}")
        found.append(Dense(np.ascontiguousarray(kernel.T), bias))
    return found


def _array(label: str, owner: Any, key: str) -> Array:
    value = array_of(owner.get(key)) if isinstance(owner, Mapping) else None
    if value is None:
        raise _damaged(label, f"no {key}")
    with np.errstate(over="ignore"):
        array = np.array(value, np.float32)
    if not np.isfinite(array).all():
        raise _damaged(label, f"{key} with numbers that are not finite")
    return array


def _normaliser(label: str, statistics: Record, width: int, config: RunConfig) -> Normaliser:
    key = config.at("network_factory_kwargs.policy_obs_key")
    key = key if isinstance(key, str) else _OBSERVATION
    fields = {
        name: value.get(key) if isinstance(value := statistics.fields.get(name), Mapping) else value
        for name in ("mean", "std")
    }
    mean, deviation = (_array(label, fields, name) for name in ("mean", "std"))
    if mean.size != width or (deviation <= 0).any():
        raise _damaged(label, f"statistics of {mean.size} numbers for {width} observations, or no deviation")
    return outside_root(mean, deviation, 0.0, math.inf)


def _damaged(label: str, got: str) -> DamagedAgentError:
    return DamagedAgentError(
        f"{label} is not as Brax saves parameters.",
        got=got,
        expected="a normaliser, the policy's parameters and the value's",
        hint="Save them again with brax.io.model.save_params.",
    )
