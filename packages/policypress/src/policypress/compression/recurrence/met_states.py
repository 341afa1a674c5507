"""Observations of a policy with memory for one whose recurrent units are fewer: with what is left of their states."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from policypress.compression.step import Observations
from policypress.policy.policy import Policy


def left_of(observations: Observations, policy: Policy) -> Observations:
    """``observations``, as the whole policy met them, with the units of their states that ``policy`` has kept."""
    if not policy.kept_states or not isinstance(observations, Mapping):
        return observations
    found = dict(observations)
    for name, kept in policy.kept_states.items():
        whole = observations[name]
        found[name] = whole[np.ix_(np.arange(len(whole)), *(np.array(part) for part in kept))]
    return found
