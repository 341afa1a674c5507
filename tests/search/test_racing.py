"""When a candidate is out, when it is promising, and when it has to play on."""

from __future__ import annotations

import numpy as np

from policypress.search.racing import AcceptanceCriterion, judge

BAR = AcceptanceCriterion(keep=0.95, confidence=0.95, limit=1000)
RANDOM = np.random.default_rng(0).normal(0, 0.02, 70).tolist()


def returns(mean: float, count: int, seed: int = 1, spread: float = 0.01) -> list[float]:
    return np.random.default_rng(seed).normal(mean, spread, count).tolist()


def test_what_surely_loses_is_out_at_once() -> None:
    judgement, reason = judge(returns(1, 10), returns(0.6, 10, 2), RANDOM[:10], BAR, last=False)
    assert judgement == "lost"
    assert "in 10 episodes" in reason


def test_what_looks_good_is_not_promising_before_thirty_episodes() -> None:
    base, own = returns(1, 30), returns(0.99, 30, 2)
    assert judge(base[:10], own[:10], RANDOM[:10], BAR, last=False)[0] == "open"
    assert judge(base, own, RANDOM[:30], BAR, last=False)[0] == "promising"


def test_at_the_end_it_has_to_be_certifiable() -> None:
    base, near = returns(1, 70), returns(0.952, 70, 2)
    judgement, reason = judge(base, near, RANDOM, BAR, last=True)
    assert judgement == "lost"
    assert "not enough" in reason
    assert judge(base, near, RANDOM, BAR, last=False)[0] == "open"


def test_a_baseline_like_random_ends_as_lost_with_the_reason() -> None:
    judgement, reason = judge(RANDOM, returns(1, 70), RANDOM, BAR, last=True)
    assert judgement == "lost"
    assert "random" in reason


def test_one_episode_decides_where_all_are_the_same() -> None:
    criterion = AcceptanceCriterion(0.95, 0.95, 10, deterministic=True)
    assert judge([1.0], [0.96], [0.0, 0.0], criterion, last=True)[0] == "promising"
    assert judge([1.0], [0.94], [0.0, 0.0], criterion, last=True)[0] == "lost"
