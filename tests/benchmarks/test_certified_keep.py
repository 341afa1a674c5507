"""The share that a named recipe surely keeps: below what it kept, and from pairs of episodes."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "certified_keep.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def results(kept: float, episodes: int = 1400) -> dict[str, Any]:
    draw = np.random.default_rng(0).normal
    base, random = 200 + draw(0, 10, episodes), draw(0, 10, episodes)
    variants = [
        {"recipe": "none", "returns": base.tolist()},
        {"recipe": "int8", "returns": (kept * 200 + draw(0, 10, episodes)).tolist()},
        {"recipe": "failed", "returns": None},
    ]
    return {
        "baseline": {"recipe": "none", "returns": base.tolist()},
        "random": {"returns": random.tolist()},
        "variants": variants,
    }


@pytest.mark.parametrize("kept", [0.6, 0.9, 1.0])
def test_the_bound_is_below_the_truth_and_near_it(script: dict[str, Any], kept: float) -> None:
    (found,) = script["certificates"](results(kept), 0.95).values()
    assert kept - 0.06 < found.lower < kept
    assert (found.episodes, found.baseline_episodes, found.random_episodes) == (1120, 1120, 140)


def test_two_recipes_share_the_error(script: dict[str, Any]) -> None:
    both = results(0.9)
    both["variants"].append({**both["variants"][1], "recipe": "again"})
    found = script["certificates"](both, 0.95)
    assert [row.alpha for row in found.values()] == pytest.approx([0.025, 0.025])
