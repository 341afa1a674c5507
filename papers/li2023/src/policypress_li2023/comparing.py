"""Two samples of training seeds against each other: which is larger, and by how much."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from policypress import seeding
from policypress.measurement.statistics import Interval, Missing, t_quantile

_PERMUTATIONS = 20_000
FEWEST = 3
"""Training seeds of a kind below which nothing is said of it: with two, Student's t spans everything."""

FEW = Missing("fewer than three seeds of a kind")


def rank_test(first: Sequence[float], second: Sequence[float]) -> float | Missing:
    """Two-sided p-value of a permutation test of the difference in mean ranks, ties by their mean rank.

    Infinity stands for what was never reached. With the same seeds of permutation always, so that a report is
    reproducible (Phipson and Smyth 2010: the observed order counts as one of the permutations).

    >>> rank_test([1.0, 2.0, 3.0, 4.0, 5.0], [11.0, 12.0, 13.0, 14.0, 15.0]) < 0.02
    True
    """
    if min(len(first), len(second)) < FEWEST:
        return FEW
    ranks = _ranks([*first, *second])
    count = len(first)
    expected = ranks.mean()
    observed = abs(ranks[:count].mean() - expected)
    rng = seeding.generator(0, "permutations of ranks")
    drawn = rng.permuted(np.tile(ranks, (_PERMUTATIONS, 1)), axis=1)[:, :count]
    extreme = np.count_nonzero(np.abs(drawn.mean(axis=1) - expected) >= observed - 1e-9)
    return float((extreme + 1) / (_PERMUTATIONS + 1))


def _ranks(values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    array = np.asarray(values, dtype=np.float64)
    below = (array[None, :] < array[:, None]).sum(axis=1)
    equal = (array[None, :] == array[:, None]).sum(axis=1)
    ranks: np.ndarray[tuple[int], np.dtype[np.float64]] = below + (equal + 1) / 2
    return ranks


def difference(first: Sequence[float], second: Sequence[float], confidence: float = 0.95) -> Interval | Missing:
    """Mean of ``first`` minus mean of ``second``, with Welch's interval.

    >>> difference([3.0, 3.0, 3.0], [1.0, 1.0, 1.0]).estimate
    2.0
    """
    if min(len(first), len(second)) < FEWEST:
        return FEW
    samples = [np.asarray(sample, dtype=np.float64) for sample in (first, second)]
    estimate = float(samples[0].mean() - samples[1].mean())
    variances = [float(sample.var(ddof=1)) / len(sample) for sample in samples]
    total = sum(variances)
    if total == 0.0:
        return Interval(estimate, estimate, estimate, confidence, "Welch's t")
    degrees = total**2 / sum(v**2 / (len(s) - 1) for v, s in zip(variances, samples, strict=True))
    half = t_quantile(0.5 + confidence / 2, degrees) * math.sqrt(total)
    return Interval(estimate, estimate - half, estimate + half, confidence, "Welch's t")
