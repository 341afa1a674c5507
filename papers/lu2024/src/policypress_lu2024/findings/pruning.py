"""The paper's statements on pruning, judged on its Tables 2 and 3 or on a study's returns."""

from __future__ import annotations

from collections import Counter

from policypress.measurement.statistics import LU_SHARE
from policypress.report.studies.evidence import Evidence, Verdict
from policypress_lu2024.findings.claims import GENERALLY, NEAR, SIGNIFICANT, Tally, View, chance, keeps, named, percent
from policypress_lu2024.findings.exact_tests import share_interval, sign_test
from policypress_lu2024.layout import BOTH

_SAFE = 0.10
_SUBSTANTIAL = 0.20
_MOST = 0.5


def l2_favoured(view: View) -> Evidence:
    """L2 pruning is favoured over L1 for most models."""
    counts = Counter(norm for norm, _ in view.optima.values())
    if not view.optima:
        return _nothing(view)
    first, second, tied = counts["l2"], counts["l1"], counts[BOTH]
    p = sign_test(first, second)
    verdict: Verdict = "undecided"
    if p < SIGNIFICANT:
        verdict = "holds" if first > second else "does not hold"
    further = Tally.of(ratios["l2"] > ratios["l1"] for ratios in view.prunable.values())
    less = sum(ratios["l2"] < ratios["l1"] for ratios in view.prunable.values())
    none = f"; in {counts['none']} no ratio keeps 90 %" if counts["none"] else ""
    both = f"; in {tied} they are tied" if tied else ""
    text = (
        f"Best pruning: L2 in {first}, L1 in {second} of {len(view.optima)} combinations{both}{none} (sign test "
        f"{chance(p)}). L2 removes more than L1 in {further.yes}, less in {less}, the same in {further.no - less}."
    )
    numbers = {"l2": first, "l1": second, "both": tied, "none": counts["none"]}
    return view.says(verdict, text, **numbers, p=p, further=further.yes, less=less)


def ten_percent_safe(view: View) -> Evidence:
    """Removing 10 % by L2 is safe in general; PPO on HalfCheetah is an exception."""
    if view.is_paper:
        answers = {place: ratios["l2"] >= _SAFE for place, ratios in view.prunable.items()}
        tally = Tally.of(answers.values())
        text = f"Table 2 lets L2 remove 10 % or more in {tally.told('combinations')}: the exceptions are nearly half."
        return view.says(view.verdict(tally, GENERALLY), text, yes=tally.yes, combinations=tally.total)
    judged = {place: keeps(kept["l2", _SAFE]) for place, kept in view.kept.items() if ("l2", _SAFE) in kept}
    tally = Tally.of(judged.values())
    if not tally.total:
        return _nothing(view)
    lost = ", ".join(named(place) for place, answer in judged.items() if answer is False)
    told = f" It clearly loses more than 10 % of the return in: {lost}." if lost else ""
    text = f"L2 pruning of 10 % clearly keeps 90 % of the return in {view.told(tally, 'combinations')}.{told}"
    return view.says(view.verdict(tally, GENERALLY), text, yes=tally.yes, no=tally.no, unsure=tally.unsure)


def ppo_prunes_least(view: View) -> Evidence:
    """PPO's agents can be pruned least."""
    ratios = {place: ratio for place, (_, ratio) in view.optima.items()}
    if not any(algorithm == "ppo" for algorithm, _ in ratios):
        return _nothing(view)
    less = more = 0
    for (algorithm, environment), ratio in ratios.items():
        own = ratios.get(("ppo", environment))
        if algorithm != "ppo" and own is not None:
            less, more = less + (own < ratio), more + (own > ratio)
    means = {
        algorithm: sum(found) / len(found)
        for algorithm in dict.fromkeys(place[0] for place in ratios)
        if (found := [ratio for place, ratio in ratios.items() if place[0] == algorithm])
    }
    p = sign_test(less, more)
    verdict: Verdict = "undecided"
    if p < SIGNIFICANT:
        verdict = "holds" if less > more else "does not hold"
    text = (
        f"Mean of what can be removed: {_shares(means)}. In the same environment PPO's is smaller than another "
        f"algorithm's in {less} pairs and larger in {more} (sign test {chance(p)})."
    )
    return view.says(verdict, text, means=means, less=less, more=more, p=p)


def few_survive_five(view: View) -> Evidence:
    """About 40 % of the models do not survive more than 5 % of pruning."""
    return _survival(view, limit=0.05, published=0.40)


def few_survive_fifty(view: View) -> Evidence:
    """80 % of the models do not survive 50 % of pruning."""
    return _survival(view, limit=0.50, published=0.80)


def substantial_pruning(view: View) -> Evidence:
    """Most agents can be pruned substantially without a notable loss, except SAC on HalfCheetah."""
    if not view.optima:
        return _nothing(view)
    tally = Tally.of(ratio >= _SUBSTANTIAL for _, ratio in view.optima.values())
    text = f"A fifth of the channels or more can be removed in {view.told(tally, 'combinations')}"
    if view.is_paper:
        text = f"{text}. Whether smaller ratios pass too is not printed."
        return view.says(view.verdict(tally, _MOST), text, yes=tally.yes, combinations=tally.total)
    unbroken = Tally.of(ratio >= _SUBSTANTIAL for ratio in view.unbroken.values())
    text = (
        f"{text}, by the paper's rule: the largest of all ratios that passes. Where all smaller ones have to pass too, "
        f"in {view.told(unbroken, 'combinations')}."
    )
    # A ratio that passes beside smaller ones that do not is no pruning to rely on: both rules have to agree.
    verdicts = {view.verdict(one, _MOST) for one in (tally, unbroken)}
    verdict: Verdict = verdicts.pop() if len(verdicts) == 1 else "undecided"
    return view.says(verdict, text, yes=tally.yes, unbroken=unbroken.yes, combinations=tally.total)


def norms_stay_close(view: View) -> Evidence:
    """Where L1 does better than L2, the two returns are close."""
    if view.is_paper:
        return view.says("no data", "Table 2 gives one pruned return for both norms, so that they cannot be compared.")
    differences = []
    for place, kept in view.kept.items():
        for (norm, ratio), span in kept.items():
            other = kept.get(("l2", ratio))
            if norm == "l1" and other is not None and span.value >= LU_SHARE and span.value > other.value:
                differences.append((place, ratio, span.value - other.value))
    if not differences:
        return _nothing(view)
    close = Tally.of(difference <= NEAR for *_, difference in differences)
    place, ratio, worst = max(differences, key=lambda row: row[2])
    text = (
        f"Of the pairs of one agent and ratio in which L1 keeps 90 % of the return and more than L2, L2 is within "
        f"10 % of the baseline's return in {view.told(close, '')}; furthest is {named(place)} at {percent(ratio)}, by "
        f"{percent(worst)}."
    )
    return view.says(view.verdict(close, GENERALLY), text, close=close.yes, pairs=close.total, furthest=worst)


def _survival(view: View, limit: float, published: float) -> Evidence:
    ratios = [ratio for _, ratio in view.optima.values()]
    if not ratios:
        return _nothing(view)
    count, total = sum(ratio <= limit for ratio in ratios), len(ratios)
    lower, upper = share_interval(count, total)
    verdict = view.printed_share(count, total, published)
    text = (
        f"No more than {percent(limit)} can be removed in {count} of {total} combinations: {percent(count / total)}, "
        f"95 % interval {percent(lower)} to {percent(upper)}; the paper says {percent(published)}, to within 10 points."
    )
    return view.says(verdict, text, count=count, combinations=total, lower=lower, upper=upper)


def _shares(means: dict[str, float]) -> str:
    return ", ".join(f"{algorithm.upper()} {percent(mean)}" for algorithm, mean in means.items())


def _nothing(view: View) -> Evidence:
    return view.says("no data", "No combination whose baseline has learned has all ratios of L1 and L2.")
