"""Which candidate is certified next: what a certificate would gain, and how likely it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from policypress.search.front import known
from policypress.search.gate import LEAST_CHANCE
from policypress.search.racing import Candidate

SURE = 0.8
"""So likely to be certified is what comes first."""


def next_attempt(
    candidates: Sequence[Candidate], chances: Mapping[str, float], bound: float, *, certain: bool
) -> Candidate | None:
    """The candidate to certify next; None where none is worth its episodes.

    While nothing is certified, it is the smallest that is likely to pass, since what fails takes episodes, time and
    error from all that follow. Otherwise it is the one with the largest expected gain, which is the logarithm of how
    many times smaller than ``bound`` it is.

    Args:
        candidates: promising ones, with values below ``bound``.
        chances: by a candidate's text, the probability that it is certified.
        bound: the value of what is certified, or of the baseline.
        certain: something is certified.
    """
    likely = [candidate for candidate in candidates if chances[candidate.text] >= SURE]
    if likely and not certain:
        return min(likely, key=lambda candidate: known(candidate.value))
    worth = [candidate for candidate in candidates if chances[candidate.text] >= LEAST_CHANCE]
    return max(worth, key=lambda candidate: chances[candidate.text] * _gain(candidate, bound), default=None)


def _gain(candidate: Candidate, bound: float) -> float:
    return math.log(bound / max(known(candidate.value), 1e-12))
