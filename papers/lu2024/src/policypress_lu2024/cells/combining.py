"""From runs to combinations: every estimate of an algorithm in an environment under one runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from policypress.measurement.statistics import Missing
from policypress.report.studies.cost_estimates import costs
from policypress.report.studies.over_seeds import keeps_90_percent, mean_of, share_of
from policypress.report.studies.runs import Cells, Kind, Run, means_by_seed, reason_for, returns_by_seed
from policypress.report.studies.standing import learned, references
from policypress_lu2024.cells.combination import Combination, Variant
from policypress_lu2024.cells.runs import Group, method_of
from policypress_lu2024.paper import ALGORITHMS, ENVIRONMENTS, METHODS, NORMS, table1, table2

RUNTIMES = ("onnxruntime", "native")
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
    baselines = returns_by_seed(group.baselines)
    keys = sorted(group.variants, key=_turn)
    return Combination(
        name=f"{_name(group)}-{group.steps}" if several else _name(group),
        algorithm=group.algorithm,
        environment=group.environment,
        environment_id=group.environment_id,
        runtime=group.runtime,
        steps=group.steps,
        seeds=tuple(sorted(baselines)),
        cells=Cells.of(group.states),
        baseline=mean_of(baselines, reason_for(group.baselines)),
        random=mean_of({0: group.random} if group.random else {}, "not run yet"),
        learned=learned(baselines, group.random, references().get(place)),
        published_baseline=table1()[place]["baseline"] if place in table1() else None,
        published_pruning_baseline=table2()[place].baseline if place in table2() else None,
        variants=tuple(_variant(group, recipe, kind) for recipe, kind in keys),
        baseline_costs=costs(group.baselines, group.baselines, group.baselines, paired=True),
        baseline_by_seed=means_by_seed(baselines),
    )


def _turn(key: tuple[str, Kind]) -> tuple[object, ...]:
    method, ratio = method_of(*key)
    return (*position(_METHODS, method), ratio or 0.0)


def _variant(group: Group, recipe: str, kind: Kind) -> Variant:
    runs = group.variants[recipe, kind]
    method, ratio = method_of(recipe, kind)
    returns, baselines = returns_by_seed(runs), returns_by_seed(group.baselines)
    paired = kind == "plain"
    reason = reason_for(runs) if not returns else reason_for(group.baselines)
    no_random = "random actions were not measured"
    own = group.baselines if paired else group.own_baselines.get(kind, {})
    place = (group.algorithm, group.environment)
    return Variant(
        recipe=recipe,
        method=method,
        ratio=ratio,
        cells=Cells.of(Counter(run.status for run in runs.values())),
        returns=mean_of(returns, reason_for(runs)),
        ratio_to_baseline=share_of(returns, baselines, paired=paired, reason=reason),
        retention=share_of(returns, baselines, group.random, paired=paired, reason=reason)
        if group.random
        else Missing(no_random),
        keeps_90_percent=keeps_90_percent(returns, baselines),
        published=table1().get(place, {}).get(method),
        costs=costs(runs, own, group.baselines, paired=paired),
        returns_by_seed=means_by_seed(returns),
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
