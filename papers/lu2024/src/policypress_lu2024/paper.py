"""What the paper published: the three tables of Lu et al. (2024).

The tables are copies of the paper's numbers; its figures 1 to 3 are drawings without numbers, so that nothing of them
can be compared.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

CITATION = (
    "H. Lu, M. Alemi and R. Rawassizadeh, The Impact of Quantization and Pruning on Deep Reinforcement Learning "
    "Models, 2024, arXiv:2407.04803"
)
ALGORITHMS = ("trpo", "ppo", "ddpg", "td3", "sac")
ENVIRONMENTS = ("HalfCheetah", "HumanoidStandup", "Ant", "Humanoid", "Hopper")
METHODS = ("ptdq", "ptsq", "qat")
NORMS = ("l1", "l2")
RATIOS = tuple(round(0.05 * step, 2) for step in range(1, 15))
REPETITIONS = 10
"""Of each experiment, at least; the paper states neither training steps nor the number of episodes."""
Place = tuple[str, str]
"""An algorithm and an environment without its version: ``("ppo", "HalfCheetah")``."""


@dataclass(frozen=True)
class PublishedPruning:
    """A row of Table 2: returns, and for each norm the share of channels that could be removed."""

    baseline: float
    best_pruned: float
    l1_ratio: float
    l2_ratio: float


@dataclass(frozen=True)
class PublishedOptimum:
    """A cell of Table 3."""

    norm: str
    ratio: float


@lru_cache(maxsize=1)
def table1() -> dict[Place, dict[str, float]]:
    """Place → returns by ``baseline``, ``ptdq``, ``ptsq``, ``qat``."""
    return {place: {name: float(value) for name, value in row.items()} for place, row in _rows("lu2024_table1.csv")}


@lru_cache(maxsize=1)
def table2() -> dict[Place, PublishedPruning]:
    """Place → row of Table 2."""
    return {
        place: PublishedPruning(**{name: float(value) for name, value in row.items()})
        for place, row in _rows("lu2024_table2.csv")
    }


@lru_cache(maxsize=1)
def table3() -> dict[Place, PublishedOptimum]:
    """Place → cell of Table 3."""
    return {place: PublishedOptimum(row["norm"], float(row["ratio"])) for place, row in _rows("lu2024_table3.csv")}


def _rows(name: str) -> Iterator[tuple[Place, dict[str, str]]]:
    text = files("policypress_lu2024.published").joinpath(name).read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        place = (row.pop("algorithm"), row.pop("environment"))
        yield place, row
