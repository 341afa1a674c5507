"""Statistics of a policy's values on calibration observations, in chunks, so that images fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from policypress.compression.step import Observations
from policypress.policy.policy import Policy

CHUNK_ROWS = 256


def chunks(observations: Observations, rows: int = CHUNK_ROWS) -> Iterator[Tensor | dict[str, Tensor]]:
    """Consecutive batches of at most ``rows`` observations as tensors."""
    if isinstance(observations, Mapping):
        length = len(next(iter(observations.values())))
        for start in range(0, length, rows):
            yield {k: torch.from_numpy(np.ascontiguousarray(v[start : start + rows])) for k, v in observations.items()}
    else:
        for start in range(0, len(observations), rows):
            yield torch.from_numpy(np.ascontiguousarray(observations[start : start + rows]))


def channel_peaks(policy: Policy, observations: Observations) -> dict[str, Tensor]:
    """Largest magnitude per channel (axis 1) of what every weighted layer reads, by value name."""
    wanted = {policy.node(name).inputs[0] for name, _ in policy.weighted_layers()}
    peaks: dict[str, Tensor] = {}
    with torch.no_grad():
        for batch in chunks(observations):
            values = policy.run(batch)
            for name in wanted:
                magnitude = values[name].abs()
                peak = magnitude.amax(dim=[d for d in range(magnitude.dim()) if d != 1])
                peaks[name] = torch.maximum(peaks[name], peak) if name in peaks else peak
    return peaks


def ranges(policy: Policy, observations: Observations) -> dict[str, tuple[float, float]]:
    """Smallest and largest element of what every weighted layer reads, by value name (min-max calibration)."""
    wanted = {policy.node(name).inputs[0] for name, _ in policy.weighted_layers()}
    seen: dict[str, tuple[float, float]] = {}
    with torch.no_grad():
        for batch in chunks(observations):
            values = policy.run(batch)
            for name in wanted:
                low, high = float(values[name].min()), float(values[name].max())
                before = seen.get(name, (low, high))
                seen[name] = (min(low, before[0]), max(high, before[1]))
    return seen
