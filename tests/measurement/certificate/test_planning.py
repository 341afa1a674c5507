"""The power calculation: what it plans is enough four times of five, and what lower limits cost."""

from __future__ import annotations

import math

import numpy as np
import pytest

from policypress.measurement.certificate.capital import evidence
from policypress.measurement.certificate.certifying import Samples, certify_returns
from policypress.measurement.certificate.limits import Limits
from policypress.measurement.certificate.planning import pass_probability, plan_episodes, with_price
from policypress.measurement.certificate.words import price


@pytest.mark.parametrize(("spread", "shared", "kept"), [(0.02, 0.0, 1.0), (0.15, 0.0, 0.99), (0.3, 0.29, 1.0)])
def test_the_planned_episodes_are_enough_four_times_of_five(spread: float, shared: float, kept: float) -> None:
    rng = np.random.default_rng(6)
    limits = Limits(-0.5, 2.0)

    def draw(count: int) -> tuple[list[float], list[float]]:
        common = rng.normal(0, shared, count)
        own, base = (rng.normal(0, np.sqrt(spread**2 - shared**2), count) + common for _ in range(2))
        return (kept + own).tolist(), (1 + base).tolist()

    floor = rng.normal(0, 0.02, 100).tolist()
    pilot, agent = draw(2000)
    pilot = (np.array(pilot) - np.mean(pilot) + np.mean(agent) - 1 + kept).tolist()
    plan = plan_episodes(agent, pilot, floor, keep=0.95, alpha=0.025, limits=limits)
    assert plan.episodes is not None
    passed = 0
    for _ in range(60):
        own, base = draw(plan.episodes)
        arrays = (limits.clip(values) for values in (own, base, floor))
        passed += evidence(*arrays, 0.95, limits) >= math.log(40)
    assert 0.6 <= passed / 60 <= 0.97


def test_what_cannot_pass_is_not_planned() -> None:
    floor, base = [0.0, 0.1] * 20, [1.0, 1.1] * 20
    limits = Limits(-1.0, 2.0)
    worse = plan_episodes(base, [0.9 * x for x in base], floor, keep=0.95, alpha=0.025, limits=limits)
    assert worse.episodes is None
    assert "less than 0.95" in worse.reason
    tight = plan_episodes(base, base, floor, keep=0.95, alpha=0.025, limits=limits, limit=20)
    assert tight.reason.startswith("20 episodes are not enough")
    nothing = plan_episodes(floor, floor, base, keep=0.95, alpha=0.025, limits=limits)
    assert "no better than random" in nothing.reason


def test_a_lower_limit_has_its_price() -> None:
    base = np.random.default_rng(0).normal(100, 1, 150)
    limits = Limits(-10.0, 110.0)
    found = certify_returns(base.tolist(), base.tolist(), None, keep=0.95, alpha=0.025, limits=limits)
    assert price(found) is None
    told = with_price(found, Samples(base, base, None))
    lows, counts = zip(*told.price, strict=True)
    assert lows[0] == -10.0
    assert all(count is not None for count in counts)
    assert list(counts) == sorted(counts)  # type: ignore[type-var]
    assert "about" in str(price(told))


def test_the_probability_of_passing_is_what_it_turns_out_to_be() -> None:
    """Of candidates of every quality, those that are given about one half pass about half of the time."""
    rng = np.random.default_rng(8)
    limits, keep, alpha, pairs = Limits(-0.5, 1.5), 0.95, 0.025, 250
    found, floor = [], rng.normal(0, 0.02, 100)
    for lost in rng.uniform(-0.1, 0.1, 400):
        base, own = rng.normal(1, 0.08, (2, 30 + pairs))
        own = own - lost
        told = pass_probability(base[:30], own[:30], floor, keep=keep, alpha=alpha, limits=limits, pairs=pairs)
        arrays = (limits.clip(values) for values in (own[30:], base[30:], floor))
        found.append((told, evidence(*arrays, keep, limits) >= -math.log(alpha)))
    for low, high in ((0.0, 0.2), (0.2, 0.8), (0.8, 1.01)):
        inside = [(told, passed) for told, passed in found if low <= told < high]
        assert len(inside) > 20
        told, passed = np.mean(inside, axis=0)
        assert abs(told - passed) < 0.2, (low, told, passed)


def test_more_pairs_and_more_error_make_passing_more_probable() -> None:
    rng = np.random.default_rng(9)
    base = rng.normal(1, 0.1, 40)
    own, floor = base - 0.02 + rng.normal(0, 0.02, 40), rng.normal(0, 0.02, 100)

    def found(pairs: int, alpha: float = 0.025) -> float:
        return pass_probability(base, own, floor, keep=0.95, alpha=alpha, limits=Limits(-0.5, 2.0), pairs=pairs)

    chances = [found(pairs) for pairs in (0, 50, 150, 300, 1000)]
    assert chances[0] == 0
    assert chances == sorted(chances)
    assert chances[-1] > 0.9
    assert found(280, 0.01) < found(280, 0.1)
    assert pass_probability([1.0], [1.0], None, keep=0.9, alpha=0.1, limits=Limits(0, 2), pairs=9) == 0
    same = [2.0] * 20
    assert pass_probability(same, same, None, keep=0.9, alpha=0.1, limits=Limits(0, 2), pairs=99) > 0.99
