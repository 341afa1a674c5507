"""Where the paper's tables contradict its statements, themselves or each other; every number is computed from them."""

from __future__ import annotations

from collections import Counter

from policypress.measurement.statistics import LU_SHARE
from policypress_lu2024.findings.claims import named, percent
from policypress_lu2024.paper import ENVIRONMENTS, METHODS, Place, table1, table2, table3
from policypress_lu2024.paper_rows import best_of

_STANDUP = "HumanoidStandup"


def baselines_differ() -> str:
    """Tables 1 and 2 give different baselines of the same models."""
    changes = {place: table2()[place].baseline / row["baseline"] - 1 for place, row in table1().items()}
    same = [place for place, change in changes.items() if change == 0]
    large = sorted(
        (place for place, change in changes.items() if abs(change) > 0.1), key=lambda place: -abs(changes[place])
    )
    told = ", ".join(f"{named(place)} {100 * changes[place]:+.0f} %" for place in large)
    return (
        f"The baselines of Tables 1 and 2 agree in {len(same)} of {len(changes)} combinations; in {len(large)} they "
        f"differ by over 10 %: {told}."
    )


def unchanged_by_ptdq() -> str:
    """Returns that stay the same to two decimals under PTDQ: the actions are saturated."""
    same = [place for place, row in table1().items() if row["ptdq"] == row["baseline"]]
    return (
        f"{' and '.join(named(place) for place in same)} have the same return to two decimals with and without PTDQ: "
        "as if their actions were always at their limits, which no quantizer changes."
    )


def best_rows_miss_the_rule() -> str:
    """Best pruned returns of Table 2 that are below 90 % of their baseline."""
    shares = {place: row.best_pruned / row.baseline for place, row in table2().items()}
    missing = sorted((place for place in shares if shares[place] < LU_SHARE), key=lambda place: shares[place])
    told = ", ".join(f"{named(place)} {percent(shares[place])}" for place in missing)
    return (
        f"In {len(missing)} of {len(shares)} rows of Table 2 the best pruned return is below the 90 % of the baseline "
        f"that the paper's rule asks for: {told}. The smallest ratio stands there where none passes."
    )


def table3_disagrees() -> str:
    """Ratios of Table 3 that are not those of Table 2."""
    differing = [place for place, cell in table3().items() if cell.ratio != _of_norm(place)]
    told = ", ".join(
        f"{named(place)} {table3()[place].norm.upper()} {percent(table3()[place].ratio)} against "
        f"{percent(_of_norm(place))}"
        for place in differing
    )
    return f"{len(differing)} of {len(table3())} ratios of Table 3 are not those of Table 2: {told}."


def worst_is_qat() -> str:
    """In Table 1, QAT is the lowest most often."""
    counts = Counter(best_of({method: -row[method] for method in METHODS}) for row in table1().values())
    above = {method: sum(row[method] >= LU_SHARE * row["baseline"] for row in table1().values()) for method in METHODS}
    kept = ", ".join(f"{method.upper()} {above[method]}" for method in METHODS)
    return (
        f"In Table 1 QAT is the lowest in {counts['qat']} combinations, PTSQ in {counts['ptsq']}, PTDQ in "
        f"{counts['ptdq']}. At least 90 % of the baseline's return is kept by: {kept} of {len(table1())}."
    )


def qat_hardly_helps_sac() -> str:
    """Where QAT is best for SAC, most of the return is lost all the same."""
    row = table1()
    told = ", ".join(
        f"{environment} {percent(row['sac', environment]['qat'] / row['sac', environment]['baseline'])}"
        for environment in ENVIRONMENTS
    )
    return f"Of its baseline's return SAC with QAT has: {told}; the best of three losses is called a benefit."


def standup_barely() -> str:
    """QAT's gain on HumanoidStandup with SAC."""
    row = table1()["sac", _STANDUP]
    gain = 100 * (row["qat"] / row["baseline"] - 1)
    return f"With SAC the gain on HumanoidStandup is {gain:.1f} %, while its baselines in Tables 1 and 2 differ by " + (
        f"{100 * abs(table2()['sac', _STANDUP].baseline / row['baseline'] - 1):.0f} %."
    )


def l1_as_often() -> str:
    """Table 2's ratios of both norms."""
    further = sum(row.l2_ratio > row.l1_ratio for row in table2().values())
    less = sum(row.l2_ratio < row.l1_ratio for row in table2().values())
    counts = Counter(cell.norm for cell in table3().values())
    return (
        f"Table 3 prefers L2 in {counts['l2']} and L1 in {counts['l1']}, but by the ratios of Table 2 L2 prunes more "
        f"in {further}, less in {less}, and the same in {len(table2()) - further - less}."
    )


def ten_percent_exceptions() -> str:
    """Combinations in which L2 cannot remove 10 %."""
    exceptions = [place for place, row in table2().items() if row.l2_ratio < 0.1]
    told = ", ".join(named(place) for place in exceptions)
    return f"The paper names one exception; by Table 2 there are {len(exceptions)}: {told}."


def ppo_without_standup() -> str:
    """PPO's thresholds where HumanoidStandup, which all other algorithms prune by half or more, is left out."""
    means = {}
    for algorithm in dict.fromkeys(place[0] for place in table3()):
        cells = [cell.ratio for place, cell in table3().items() if place[0] == algorithm and place[1] != _STANDUP]
        means[algorithm] = sum(cells) / len(cells)
    told = ", ".join(f"{algorithm.upper()} {100 * mean:.1f} %" for algorithm, mean in means.items())
    return f"PPO's low mean comes from HumanoidStandup alone; without it the means of Table 3 are: {told}."


def half_stops_at_five() -> str:
    """Combinations whose threshold is the smallest ratio that was tried."""
    count = sum(cell.ratio <= 0.05 for cell in table3().values())
    return (
        f"In {count} of {len(table3())} combinations Table 3 itself allows 5 %, the smallest ratio that was tried: "
        "hardly substantial, and SAC on HalfCheetah is not the only one."
    )


def not_the_lottery() -> str:
    """What the hypothesis speaks of."""
    return (
        "The lottery ticket hypothesis speaks of sparse networks that are trained from their first weights; the tables "
        "are of agents that were pruned after training and not trained again, and cannot refute it."
    )


def six_environments() -> str:
    """Small counts in the text."""
    return (
        f"The text speaks of six environments; the tables have {len({place[1] for place in table1()})}. It says that "
        "each experiment was repeated ten times; no table gives a spread or says what was repeated."
    )


def percentages_of_nothing() -> str:
    """Baselines that hardly act."""
    low: list[Place] = [("ppo", "Hopper"), ("trpo", "Humanoid"), ("trpo", "Hopper")]
    told = ", ".join(f"{named(place)} {table1()[place]['baseline']:g}" for place in low)
    return (
        f"Some baselines have not learned: {told}. Upright for a moment gives as much; percentages of such a return "
        "are noise."
    )


GENERAL = (baselines_differ, unchanged_by_ptdq, table3_disagrees, six_environments, percentages_of_nothing)


def _of_norm(place: Place) -> float:
    row = table2()[place]
    return row.l1_ratio if table3()[place].norm == "l1" else row.l2_ratio
