"""The paper's statements, judged by its own numbers and by the study's trainings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median

import numpy as np

from policypress.measurement.seed_statistics import Shares, interaction, share_over_seeds
from policypress.measurement.statistics import Interval, Missing
from policypress.report.quantities import percent, size
from policypress.report.studies.evidence import Evidence, Finding, Verdict
from policypress_li2023.comparing import FEW, FEWEST, rank_test
from policypress_li2023.memory import MemoryRow
from policypress_li2023.paper import CAP, MEMORY
from policypress_li2023.trainings import FORMS, Form, Task
from policypress_li2023.trends import reached

WINDOW = 10
"""Episodes in a row that have to return the expected performance, on average."""
EXPECTED = 0.975 * CAP
"""195 of CartPole: what version 0 of the environment itself calls solved."""
LAST = 100
FIRST = 20
MARGIN = 0.1
"""A trend is not affected where QAT keeps what was learned to within this share."""
_ALPHA = 0.05
_ONE_RUN = "It shows one training of each kind, and no interval; a training's seed alone changes such a curve."


def findings(tasks: Sequence[Task], rows: Sequence[MemoryRow]) -> tuple[Finding, ...]:
    """Every statement of the paper, in its order."""
    by_name = {task.environment: task for task in tasks if task.algorithm == "dqn"}
    memory = [row for row in rows if row.printed is not None]
    return (
        _memory(memory),
        _deployed(memory),
        _earlier(by_name.get("CartPole")),
        _stable(by_name.get("CartPole")),
        _unaffected(by_name.get("LunarLander")),
        _games_differ([by_name[name] for name in ("CartPole", "LunarLander") if name in by_name]),
    )


def kept(task: Task) -> Interval | Missing:
    """Share of what fp32 learned that QAT learned too: returns of the last episodes above those of the first.

    The last are the last 100, or the last fifth of shorter trainings; the first are the first 20, of both forms, when
    nothing is learned yet.
    """
    found = _shares(task)
    if isinstance(found, Missing):
        return found
    return share_over_seeds(found.numerators, found.denominators, found.floor, paired=False)


def _shares(task: Task) -> Shares | Missing:
    if min(len(task.returns(form)) for form in FORMS) < FEWEST:
        return FEW
    last = min(LAST, max(task.episodes // 5, 1))
    ends = {form: [[float(np.mean(seed[-last:]))] for seed in task.returns(form)] for form in FORMS}
    start = [float(np.mean(seed[:FIRST])) for form in FORMS for seed in task.returns(form)]
    return Shares(ends["qat"], ends["fp32"], start)


def reach_episodes(task: Task) -> Mapping[Form, tuple[float, ...]]:
    """Of each form and seed, the episode at which the expected performance is reached; infinity where it never is."""
    return {
        form: tuple(float(reached(seed, EXPECTED, WINDOW) or math.inf) for seed in task.returns(form)) for form in FORMS
    }


def _memory(rows: Sequence[MemoryRow]) -> Finding:
    paper = Evidence(
        "holds",
        "; ".join(
            f"{name}: {row.before:g} before, {row.after:g} after ({percent(row.decrease)} less)"
            for name, row in MEMORY.items()
        )
        + ".",
        {name: asdict(row) for name, row in MEMORY.items()},
    )
    contradictions = (
        "Table 2 names no unit and does not say what was measured, nor when. Fake quantization keeps every fp32 weight "
        "and adds ranges, so that a training cannot need less for its network.",
        "Section 2 speaks of a model four times smaller, which is what integers are when they are stored; table 2 has "
        "4 and 5 %.",
    )
    return Finding(
        "memory", "QAT decreases the memory of training.", "4, table 2", paper, contradictions, (_ours(rows),)
    )


def _ours(rows: Sequence[MemoryRow]) -> Evidence:
    known = [(row, row.decrease) for row in rows if isinstance(row.decrease, Interval)]
    if not known:
        return Evidence("no data", "Fewer than three trainings of a kind in processes of their own.")
    texts, excluded, shown = [], [], []
    for row, decrease in known:
        printed = row.printed.decrease if row.printed is not None else 0.0
        excluded.append(decrease.upper < printed)
        shown.append(decrease.lower > 0)
        tensors = [sum(form.parts[part] for part in ("acting_bytes", "value_bytes")) for form in (row.fp32, row.qat)]
        texts.append(
            f"{row.environment}: the process's peak is {_lower(decrease.estimate)} "
            f"(decrease {percent(decrease.lower, 2)} … {percent(decrease.upper, 2)}), against the paper's "
            f"{percent(printed)} lower; "
            f"its networks' tensors are {size(tensors[0])} in fp32 and {size(tensors[1])} with QAT."
        )
    verdict: Verdict = "holds" if all(shown) else "does not hold" if all(excluded) else "undecided"
    numbers = {row.environment: asdict(decrease) for row, decrease in known}
    return Evidence(verdict, " ".join(texts), numbers)


def _lower(decrease: float) -> str:
    return f"{percent(abs(decrease), 2)} {'lower' if decrease >= 0 else 'higher'}"


def _deployed(rows: Sequence[MemoryRow]) -> Finding:
    paper = Evidence("no data", "Nothing is exported or measured; section 2 cites a factor of 4 for 8-bit weights.")
    known = [
        (row.environment, row.fp32.deployed_bytes, row.qat.deployed_bytes)
        for row in rows
        if row.fp32.deployed_bytes and row.qat.deployed_bytes
    ]
    if not known:
        return Finding("deployed", _DEPLOYED, "2", paper, (), (Evidence("no data", "No artifact is built yet."),))
    text = " ".join(
        f"{name}: {size(before)} in fp32, {size(after)} in int8, {before / after:.1f} times smaller."
        for name, before, after in known
    )
    verdict: Verdict = "holds" if all(after < before for _, before, after in known) else "does not hold"
    numbers = {name: {"fp32_bytes": before, "int8_bytes": after} for name, before, after in known}
    return Finding("deployed", _DEPLOYED, "2", paper, (), (Evidence(verdict, text, numbers),))


_DEPLOYED = "After QAT the network that is deployed is smaller."


def _earlier(task: Task | None) -> Finding:
    statement = "On CartPole, DQN reaches the expected performance earlier than DQN with QAT."
    paper = Evidence("holds", f"Read off figure 5. {_ONE_RUN}")
    return Finding("cartpole-earlier", statement, "4, figure 5", paper, (), (_judged_reach(task),))


def _judged_reach(task: Task | None) -> Evidence:
    if task is None or min(len(task.returns(form)) for form in FORMS) < FEWEST:
        return Evidence("no data", "Fewer than three trainings of a kind.")
    found = reach_episodes(task)
    p = rank_test(found["fp32"], found["qat"])
    told = []
    for form in FORMS:
        there = [value for value in found[form] if math.isfinite(value)]
        middle = median(found[form])
        when = f"in the median at episode {middle:.0f}" if math.isfinite(middle) else "the median never"
        told.append(f"{'DQN' if form == 'fp32' else 'DQN with QAT'}: {len(there)} of {len(found[form])} seeds, {when}")
    text = f"A mean of {EXPECTED:.0f} over {WINDOW} episodes is reached by {'; '.join(told)}."
    return _by_ranks(p, found, text, "earlier")


def _stable(task: Task | None) -> Finding:
    statement = "On CartPole, DQN is more stable after it has reached the expected performance than DQN with QAT."
    paper = Evidence("holds", f"Read off figure 5. {_ONE_RUN}")
    return Finding("cartpole-stable", statement, "4, figure 5", paper, (), (_judged_spread(task),))


def _judged_spread(task: Task | None) -> Evidence:
    if task is None:
        return Evidence("no data", "No trainings.")
    found = {
        form: tuple(
            float(np.std(seed[start:], ddof=1))
            for seed in task.returns(form)
            if (start := reached(seed, EXPECTED, WINDOW)) is not None and len(seed) - start >= WINDOW
        )
        for form in FORMS
    }
    if min(len(values) for values in found.values()) < FEWEST:
        return Evidence("no data", f"Fewer than three trainings of a kind reach it {WINDOW} episodes before the end.")
    means = {form: float(np.mean(values)) for form, values in found.items()}
    text = (
        f"From there on the standard deviation of a seed's returns is {means['fp32']:.0f} for DQN "
        f"({len(found['fp32'])} seeds) and {means['qat']:.0f} with QAT ({len(found['qat'])} seeds)."
    )
    return _by_ranks(rank_test(found["fp32"], found["qat"]), found, text, "steadier")


def _by_ranks(p: float | Missing, found: Mapping[Form, Sequence[float]], text: str, word: str) -> Evidence:
    """Smaller is better; the verdict is the sign of a difference that is not chance."""
    numbers: dict[str, object] = {
        form: [value if math.isfinite(value) else None for value in values] for form, values in found.items()
    }
    if isinstance(p, Missing):
        return Evidence("no data", f"{text} {p.reason}.", numbers)
    bound = 10 * max([v for values in found.values() for v in values if math.isfinite(v)], default=1.0)
    averages = {form: float(np.mean([min(value, bound) for value in values])) for form, values in found.items()}
    fp32_better = averages["fp32"] < averages["qat"]
    if p >= _ALPHA:
        verdict: Verdict = "undecided"
        told = f"Neither is {word} by more than chance (permutation test of ranks, p = {p:.2g})."
    else:
        verdict = "holds" if fp32_better else "does not hold"
        told = f"DQN{'' if fp32_better else ' with QAT'} is {word} (permutation test of ranks, p = {p:.2g})."
    return Evidence(verdict, f"{text} {told}", {**numbers, "p": p})


def _unaffected(task: Task | None) -> Finding:
    statement = "On LunarLander, the trend with QAT is very similar: QAT hardly affects it."
    paper = Evidence("holds", f"Read off figure 6. {_ONE_RUN}")
    return Finding("lunarlander-unaffected", statement, "4, figure 6", paper, (), (judged_kept(task),))


def judged_kept(task: Task | None) -> Evidence:
    """Whether QAT leaves what is learned in ``task`` as it was, within :data:`MARGIN`."""
    share = Missing("no trainings") if task is None else kept(task)
    if task is None or isinstance(share, Missing):
        return Evidence("no data", f"{share.reason if isinstance(share, Missing) else ''}.".capitalize())
    inside = share.lower >= 1 - MARGIN and share.upper <= 1 + MARGIN
    outside = share.upper < 1 - MARGIN or share.lower > 1 + MARGIN
    verdict: Verdict = "holds" if inside else "does not hold" if outside else "undecided"
    text = (
        f"QAT learns {percent(share.estimate)} ({percent(share.lower)} … {percent(share.upper)}) of what fp32 learned; "
        f"{percent(1 - MARGIN, 0)} to {percent(1 + MARGIN, 0)} counts as not affected."
    )
    return Evidence(verdict, text, asdict(share))


def _games_differ(tasks: Sequence[Task]) -> Finding:
    statement = "Whether QAT affects the training depends on the game: CartPole is affected, LunarLander is not."
    paper = Evidence("holds", f"The comparison of figures 5 and 6. {_ONE_RUN}")
    return Finding("games-differ", statement, "4 and 5", paper, (), (_judged_games(tasks),))


def _judged_games(tasks: Sequence[Task]) -> Evidence:
    """Whether what QAT keeps differs between the games: a test of the interaction, since intervals that overlap may."""
    shares = {task.environment: kept(task) for task in tasks}
    known = {name: share for name, share in shares.items() if isinstance(share, Interval)}
    samples = [found for task in tasks if isinstance(found := _shares(task), Shares)]
    if len(known) < 2 or len(samples) < 2:
        return Evidence("no data", "One of the two games has too few trainings.")
    apart = interaction(samples[0], samples[1])
    if isinstance(apart, Missing):
        return Evidence("no data", f"{apart.reason}.".capitalize())
    told = ", ".join(
        f"{name} {percent(share.estimate)} ({percent(share.lower)} … {percent(share.upper)})"
        for name, share in known.items()
    )
    difference = apart.difference
    verdict: Verdict = "undecided" if apart.p >= _ALPHA else "holds" if difference.estimate > 0 else "does not hold"
    text = (
        f"What QAT keeps of what fp32 learned: {told}. LunarLander's share is higher by {difference.estimate:.2f} "
        f"({difference.lower:.2f} … {difference.upper:.2f}; test of the interaction, Welch's t, p = {apart.p:.2g})."
    )
    numbers = {**_plain(known), "difference": asdict(difference), "p": apart.p}
    return Evidence(verdict, text, numbers)


def _plain(intervals: Mapping[str, Interval]) -> dict[str, object]:
    return {name: asdict(interval) for name, interval in intervals.items()}
