"""From runs to combinations: every estimate of an algorithm in an environment under one runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from policypress.measurement.statistics import LU_SHARE, Missing
from policypress.report.costs import Energy, Latency, Memory
from policypress.report.studies.over_seeds import (
    BySeed,
    lower_bound,
    mean_of,
    mean_of_numbers,
    reason_of,
    share_of,
    upper_bound,
)
from policypress.report.study.combination import Cells, Combination, Cost, Learned, Learning, Source, Variant
from policypress.report.study.paper import ALGORITHMS, ENVIRONMENTS, METHODS, NORMS, references, table1, table2
from policypress.report.study.runs import Group, Kind, Run, method_of

RUNTIMES = ("onnxruntime", "native")
_ENOUGH = 0.25  # share of the way from random actions to the published return that a baseline has to go
_DEVIATIONS = 2.0  # without a published return: standard deviations above random actions
_METHODS = (*METHODS, *NORMS, "sparse-l1", "sparse-l2")


def combinations(groups: Iterable[Group]) -> tuple[Combination, ...]:
    """Every combination, by runtime, algorithm and environment in the paper's order."""
    listed = sorted(groups, key=_place)
    names = Counter(_name(group) for group in listed)
    return tuple(_combination(group, several=names[_name(group)] > 1) for group in listed)


def _place(group: Group) -> tuple[object, ...]:
    return (
        position(RUNTIMES, group.runtime),
        position(ALGORITHMS, group.algorithm),
        position(ENVIRONMENTS, group.environment),
        group.environment_id,
        group.steps or 0,
    )


def position(known: tuple[str, ...], name: str) -> tuple[int, str]:
    """Where ``name`` stands among the known ones; others follow by name."""
    return (known.index(name), "") if name in known else (len(known), name)


def _name(group: Group) -> str:
    return f"{group.algorithm}-{group.environment_id}-{group.runtime}".replace("/", "-")


def _combination(group: Group, *, several: bool) -> Combination:
    place = (group.algorithm, group.environment)
    baselines = _returns(group.baselines)
    keys = sorted(group.variants, key=_turn)
    return Combination(
        name=f"{_name(group)}-{group.steps}" if several else _name(group),
        algorithm=group.algorithm,
        environment=group.environment,
        environment_id=group.environment_id,
        runtime=group.runtime,
        steps=group.steps,
        seeds=tuple(sorted(baselines)),
        cells=_cells(group.states),
        baseline=mean_of(baselines, _reason(group.baselines)),
        random=mean_of({0: group.random} if group.random else {}, "not run yet"),
        learned=learned(place, baselines, group.random),
        published_baseline=table1()[place]["baseline"] if place in table1() else None,
        published_pruning_baseline=table2()[place].baseline if place in table2() else None,
        variants=tuple(_variant(group, recipe, kind) for recipe, kind in keys),
        baseline_costs=costs(group.baselines, group.baselines, group.baselines, paired=True),
        baseline_by_seed=_means(baselines),
    )


def _turn(key: tuple[str, Kind]) -> tuple[object, ...]:
    method, ratio = method_of(*key)
    return (*position(_METHODS, method), ratio or 0.0)


def _variant(group: Group, recipe: str, kind: Kind) -> Variant:
    runs = group.variants[recipe, kind]
    method, ratio = method_of(recipe, kind)
    returns, baselines = _returns(runs), _returns(group.baselines)
    paired = kind == "plain"
    reason = _reason(runs) if not returns else _reason(group.baselines)
    no_random = "random actions were not measured"
    own = group.baselines if paired else group.own_baselines.get(kind, {})
    place = (group.algorithm, group.environment)
    return Variant(
        recipe=recipe,
        method=method,
        ratio=ratio,
        cells=_cells(Counter(run.status for run in runs.values())),
        returns=mean_of(returns, _reason(runs)),
        ratio_to_baseline=share_of(returns, baselines, paired=paired, reason=reason),
        retention=share_of(returns, baselines, group.random, paired=paired, reason=reason)
        if group.random
        else Missing(no_random),
        keeps_90_percent=keeps_90_percent(returns, baselines),
        published=table1().get(place, {}).get(method),
        costs=costs(runs, own, group.baselines, paired=paired),
        returns_by_seed=_means(returns),
        other_training="" if paired else _other_training(runs, group.baselines),
    )


def _other_training(runs: Mapping[int, Run], baselines: Mapping[int, Run]) -> str:
    """How agents that were trained anew learned otherwise than the baseline's; empty where they did not."""
    own, base = (
        sorted({run.agent.update for run in found.values() if run.returns and run.agent.update})
        for found in (runs, baselines)
    )
    if not own or not base or own == base:
        return ""
    return f"trained by {' and '.join(own)}, its baseline by {' and '.join(base)}"


def keeps_90_percent(variant: BySeed, baseline: BySeed) -> bool | None:
    """The paper's rule on the means of the seeds that both have; None where there are none or the baseline is not > 0.

    >>> keeps_90_percent({0: [9.0]}, {0: [10.0], 1: [50.0]})
    True
    """
    shared = set(variant) & set(baseline)
    if not shared:
        return None
    base = float(np.mean([np.mean(baseline[seed]) for seed in shared]))
    kept = float(np.mean([np.mean(variant[seed]) for seed in shared]))
    # The paper's rule is on decimals; what is 90 % of the baseline to rounding passes.
    return kept >= LU_SHARE * base * (1 - 1e-12) if base > 0 else None


def learned(place: tuple[str, str], baselines: BySeed, random: tuple[float, ...]) -> Learned:
    """Whether the baseline, or each of its agents by itself, is far enough above random actions (docs/design.md)."""
    known = references().get(place)
    reference = None if known is None else known.mean_return
    source = "" if known is None else f"{known.source}, {known.steps:,} steps"
    if not random or not baselines:
        missing = "random actions were not measured" if not random else "no baseline was measured"
        return Learned("not known", None, reference, source, missing)
    floor = float(np.mean(random))
    if reference is None:
        threshold = floor + _DEVIATIONS * float(np.std(random))
        needed = f"random actions ({floor:.1f}) and two standard deviations; no return is published"
    else:
        threshold = floor + _ENOUGH * (reference - floor)
        needed = f"random actions ({floor:.1f}) and {_ENOUGH:.0%} of the way to the published {reference:.0f}"
    lower, upper = lower_bound(baselines), upper_bound(baselines)
    if lower is None or upper is None:
        return Learned("not known", threshold, reference, source, "one episode says nothing of chance")
    seeds = f"{len(baselines)} training seeds" if len(baselines) > 1 else "the episodes of one agent"
    each = _each(baselines, threshold)
    verdict: Learning = "not known"
    if lower >= threshold or each == "above":
        verdict = "learned"
    elif upper < threshold or each == "below":
        verdict = "not learned"
    told = f"; every agent by its own episodes is {each}" if each and len(baselines) > 1 else ""
    reason = f"lower bound {lower:.1f} (95 %, {seeds}) against {threshold:.1f}: {needed}{told}"
    return Learned(verdict, threshold, reference, source, reason)


def _each(baselines: BySeed, threshold: float) -> str:
    """Where every agent is by its own episodes: of two or three seeds that differ Student's bound says too little."""
    lower = [lower_bound({0: values}) for values in baselines.values()]
    upper = [upper_bound({0: values}) for values in baselines.values()]
    if all(bound is not None and bound >= threshold for bound in lower):
        return "above"
    return "below" if all(bound is not None and bound < threshold for bound in upper) else ""


def costs(
    runs: Mapping[int, Run], own: Mapping[int, Run], plain: Mapping[int, Run], *, paired: bool
) -> dict[str, Cost]:
    """Every cost of ``runs``, relative to ``own``, the fp32 form of the same agents; episodes' lengths to ``plain``."""
    found = {name: _cost(read, runs, own) for name, read in _QUANTITIES.items()}
    lengths, base = _lengths(runs), _lengths(plain)
    reason = _reason(runs)
    relative = share_of(lengths, base, paired=paired, reason=reason)
    return {**found, "episode_length": Cost(mean_of(lengths, reason), relative, "measured" if lengths else None)}


def _cost(read: Callable[[Run], tuple[float, Source] | None], runs: Mapping[int, Run], own: Mapping[int, Run]) -> Cost:
    known = {seed: value for seed, run in runs.items() if (value := read(run)) is not None}
    bases = {seed: value for seed, run in own.items() if (value := read(run)) is not None}
    ratios = {
        seed: value / bases[seed][0]
        for seed, (value, source) in known.items()
        # A modelled value is no share of a measured one.
        if seed in bases and bases[seed][0] > 0 and bases[seed][1] == source
    }
    sources: set[Source] = {source for _, source in known.values()}
    source: Source | None = None if not sources else "modelled" if "modelled" in sources else "measured"
    values = {seed: value for seed, (value, _) in known.items()}
    return Cost(mean_of_numbers(values, "not measured"), mean_of_numbers(ratios, "not measured"), source)


def _latency(run: Run) -> tuple[float, Source] | None:
    return (run.costs.latency.warm_s["p50"], "measured") if isinstance(run.costs.latency, Latency) else None


def _peak_rss(run: Run) -> tuple[float, Source] | None:
    return (float(run.costs.memory.peak_rss_bytes), "measured") if isinstance(run.costs.memory, Memory) else None


def _cpu(run: Run) -> tuple[float, Source] | None:
    value = run.costs.cpu_s_per_action
    return None if isinstance(value, Missing) else (value, "measured")


def _energy_per_action(run: Run) -> tuple[float, Source] | None:
    energy = run.costs.energy
    return (energy.per_action_j, energy.source) if isinstance(energy, Energy) else None


def _energy_per_episode(run: Run) -> tuple[float, Source] | None:
    energy = run.costs.energy
    if not isinstance(energy, Energy):
        return None
    if energy.per_episode_j is not None:
        return energy.per_episode_j, energy.source
    return (energy.per_action_j * float(np.mean(run.lengths)), energy.source) if run.lengths else None


def _of_artifact(name: str) -> Callable[[Run], tuple[float, Source] | None]:
    def read(run: Run) -> tuple[float, Source] | None:
        return None if run.artifact is None else (float(getattr(run.artifact, name)), "measured")

    return read


_QUANTITIES: dict[str, Callable[[Run], tuple[float, Source] | None]] = {
    "latency": _latency,
    "peak_rss": _peak_rss,
    "cpu_per_action": _cpu,
    "energy_per_action": _energy_per_action,
    "energy_per_episode": _energy_per_episode,
    "packed_bytes": _of_artifact("packed_bytes"),
    "file_bytes": _of_artifact("file_bytes"),
    "parameters": _of_artifact("parameters"),
}


def _returns(runs: Mapping[int, Run]) -> dict[int, tuple[float, ...]]:
    return {seed: run.returns for seed, run in sorted(runs.items()) if run.returns}


def _lengths(runs: Mapping[int, Run]) -> dict[int, tuple[float, ...]]:
    return {seed: run.lengths for seed, run in sorted(runs.items()) if run.lengths}


def _means(returns: BySeed) -> dict[int, float]:
    return {seed: float(np.mean(values)) for seed, values in returns.items()}


def _reason(runs: Mapping[int, Run]) -> str:
    return reason_of((run.status for run in runs.values()), (run.failure for run in runs.values() if run.failure))


def _cells(states: Counter[str]) -> Cells:
    return Cells(states["done"], states["failed"], states["pending"] + states["running"])
