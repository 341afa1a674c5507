"""The simulated worlds of certificates, in small: false ones are rare, and pairs save what they are said to save."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "certificate_worlds.py"
SPEC = importlib.util.spec_from_file_location("certificate_worlds", SCRIPT)
assert SPEC is not None
assert SPEC.loader is not None
WORLDS = importlib.util.module_from_spec(SPEC)
sys.modules["certificate_worlds"] = WORLDS
SPEC.loader.exec_module(WORLDS)
EXPERIMENTS = 100
ALLOWED = 0.05 + 3 * math.sqrt(0.05 * 0.95 / EXPERIMENTS)


@pytest.mark.parametrize("world", WORLDS.WORLDS, ids=lambda world: world.name)
def test_worlds_are_at_the_limit_and_false_certificates_are_rare(world: WORLDS.World) -> None:  # type: ignore[name-defined]
    own, base = (world.limits.clip(v) for v in world.draw(np.random.default_rng(0), 200_000, WORLDS.KEEP))
    assert own.mean() == pytest.approx(WORLDS.KEEP * base.mean(), abs=0.03)
    assert WORLDS.false_rate(world, EXPERIMENTS, episodes=400) <= ALLOWED


def test_searches_of_candidates_with_failures_seldom_end_in_a_false_certificate() -> None:
    for score, rate in ((-1.0, 0.025), (-3.0, 0.0125)):
        assert WORLDS.false_search(score, rate, 20) <= 0.2


def test_independent_samples_are_seldom_falsely_certified() -> None:
    for world in WORLDS.WORLDS[::6]:
        assert WORLDS.false_rate_apart(world, 15, episodes=80) <= 0.2


@pytest.mark.parametrize(("index", "most"), [(2, 300), (3, 120), (4, 210)])
def test_pairs_save_episodes_where_outcomes_go_together(index: int, most: int) -> None:
    paired, _, _ = WORLDS.episodes_needed(WORLDS.POWER_WORLDS[index], 1.0, 40, most=800)
    assert paired <= 1.15 * most
