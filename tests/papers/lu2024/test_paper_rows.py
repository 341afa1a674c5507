"""The 90 % rule, the best of several, and what can be pruned, for any returns."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

from policypress.measurement.statistics import Missing
from policypress.report.studies.estimates import Estimate
from policypress.report.studies.over_seeds import keeps_90_percent
from policypress.report.studies.runs import Cells
from policypress_lu2024.cells.combination import Variant
from policypress_lu2024.paper_rows import best_of, most_pruned

returns = st.floats(-1e6, 1e6)
episodes = st.lists(returns, min_size=1, max_size=4)
by_seed = st.dictionaries(st.integers(0, 4), episodes, max_size=4)


def exact_mean(samples: dict[int, list[float]], seeds: set[int]) -> Fraction:
    return sum((sum(map(Fraction, samples[s])) / len(samples[s]) for s in seeds), Fraction(0)) / len(seeds)


@given(by_seed, by_seed)
def test_the_rule_is_on_the_means_of_the_seeds_that_both_have(
    variant: dict[int, list[float]], baseline: dict[int, list[float]]
) -> None:
    shared = set(variant) & set(baseline)
    found = keeps_90_percent(variant, baseline)
    if not shared:
        assert found is None
        return
    base, kept = exact_mean(baseline, shared), exact_mean(variant, shared)
    assume(abs(base) > 1e-6 and abs(kept - Fraction(9, 10) * base) > Fraction(1, 10**6))
    assert found == (None if base < 0 else kept >= Fraction(9, 10) * base)


@given(st.floats(1e-3, 1e6), st.integers(1, 5))
def test_what_is_exactly_90_percent_keeps(level: float, count: int) -> None:
    assert keeps_90_percent({0: [0.9 * level] * count}, {0: [level] * count}) is True
    assert keeps_90_percent({0: [0.899999 * level] * count}, {0: [level] * count}) is False


@given(st.dictionaries(st.sampled_from(["ptdq", "ptsq", "qat"]), st.integers(0, 3).map(float), max_size=3))
def test_the_best_is_alone_at_the_top(found: dict[str, float]) -> None:
    best = best_of(found)
    top = [name for name in found if found[name] == max(found.values())]
    assert best == (top[0] if len(top) == 1 else None)


@given(
    st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 2).map(float), min_size=3), max_size=9)
)
def test_counts_of_bests_and_ties_add_up(rows: list[dict[str, float]]) -> None:
    bests = [best_of(row) for row in rows]
    assert sum(bests.count(name) for name in ("a", "b", "c", None)) == len(rows)


def variant(ratio: float, keeps: bool | None, left: int = 0) -> Variant:
    value = Estimate(ratio, None, 1, "training seeds")
    nothing = Missing("not needed here")
    return Variant(f"prune(l1, {ratio})", "l1", ratio, Cells(1, 0, left), value, nothing, nothing, keeps, None, {})


@given(st.dictionaries(st.sampled_from([0.05, 0.1, 0.15, 0.2, 0.7]), st.sampled_from([True, False, None])))
def test_the_most_that_can_be_pruned_is_the_largest_ratio_that_passes(
    answers: dict[float, bool | None],
) -> None:
    variants = [variant(ratio, keeps) for ratio, keeps in answers.items()]
    found = most_pruned(variants)
    judged = {ratio: keeps for ratio, keeps in answers.items() if keeps is not None}
    if not judged:
        assert found is None
        return
    passing = [ratio for ratio, keeps in judged.items() if keeps]
    assert found is not None
    assert found.ratio == (max(passing) if passing else None)
    assert isinstance(found.returns, Estimate)
    assert found.returns.value == (max(passing) if passing else min(judged))
    unbroken = [ratio for ratio in judged if all(judged[smaller] for smaller in judged if smaller <= ratio)]
    assert found.unbroken == (max(unbroken) if unbroken else None)


def test_what_is_left_to_run_is_said() -> None:
    found = most_pruned([variant(0.05, True), variant(0.1, None, left=1)])
    assert found is not None
    assert (found.ratio, found.complete) == (0.05, False)
