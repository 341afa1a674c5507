"""A study's report whose numbers are drawn at random, to look at and to test; no result of anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from policypress.measurement.statistics import Interval, Missing
from policypress.report.studies.aggregates import ProfilePoint
from policypress.report.studies.cost_estimates import Cost
from policypress.report.studies.estimates import NOT_MEASURED, Estimate, MaybeEstimate
from policypress.report.studies.evidence import Evidence, Finding
from policypress.report.studies.runs import Cells
from policypress.report.studies.standing import Learned
from policypress_lu2024.cells.combination import Combination, Variant
from policypress_lu2024.findings.conclusions import Aggregate, Improvement
from policypress_lu2024.layout import OptimalRow, Point, Pruned, PruningRow, QuantizationRow, Series
from policypress_lu2024.study_report import Provenance, StudyReport

ALGORITHMS = ("trpo", "ppo", "ddpg", "td3", "sac")
ENVIRONMENTS = ("HalfCheetah", "HumanoidStandup", "Ant", "Humanoid", "Hopper")
RATIOS = tuple(round(0.05 * step, 2) for step in range(1, 15))
_BASE = {"HalfCheetah": 4000.0, "HumanoidStandup": 90000.0, "Ant": 1500.0, "Humanoid": 600.0, "Hopper": 1200.0}
_COSTS = {
    "latency": (7e-6, "s"),
    "energy_per_action": (9e-5, "J"),
    "energy_per_episode": (6e-2, "J"),
    "peak_rss": (5.4e7, "B"),
    "packed_bytes": (2.8e5, "B"),
}
_TITLES = {
    "latency": "inference time",
    "energy_per_action": "energy of an action",
    "energy_per_episode": "energy of an episode",
    "peak_rss": "memory",
    "packed_bytes": "size of the policy",
}


def estimate(value: float, spread: float, runs: int) -> Estimate:
    unit = "training seeds" if runs > 1 else "episodes of one agent"
    return Estimate(value, Interval(value, value - spread, value + spread, 0.95, "drawn"), runs, unit)  # type: ignore[arg-type]


def _variant(
    rng: np.random.Generator, method: str, ratio: float | None, baseline: float, runs: int, costs: bool
) -> Variant:
    recipe = f"prune({method}, {ratio})" if ratio is not None else method
    if runs == 0:
        return Variant(recipe, method, ratio, Cells(0, 0, 3), *[NOT_MEASURED] * 3, None, None, {})  # type: ignore[arg-type]
    falls = {"ptdq": 0.03, "ptsq": 0.15, "qat": 0.1}.get(method, 2.2 * (ratio or 0.0) ** 1.5)
    share = float(np.clip(1 - falls * rng.uniform(0.2, 2.0) + rng.normal(0, 0.02), -0.2, 1.4))
    returns = estimate(share * baseline, 0.05 * baseline, runs)
    kept = estimate(share, 0.05, runs)
    there: dict[str, Cost] = {}
    if costs:
        for name, (level, _) in _COSTS.items():
            relative = estimate(float(rng.normal(1.0, 0.04)), 0.02, runs)
            source = "modelled" if name.startswith("energy") else "measured"
            there[name] = Cost(estimate(level * relative.value, 0.02 * level, runs), relative, source)  # type: ignore[arg-type]
    published = float(baseline * rng.uniform(0.2, 1.2)) if method in ("ptdq", "ptsq", "qat") else None
    return Variant(recipe, method, ratio, Cells(runs, 0, 0), returns, kept, kept, share >= 0.9, published, there)


def _baseline_costs(runs: int) -> dict[str, Cost]:
    whole = estimate(1.0, 0.0, runs)
    return {name: Cost(estimate(level, 0.01 * level, runs), whole, "measured") for name, (level, _) in _COSTS.items()}


def _combination(
    rng: np.random.Generator, algorithm: str, environment: str, runtime: str, runs: int, costs: bool, own: Sequence[str]
) -> Combination:
    base = _BASE.get(environment, 1000.0) * float(rng.uniform(0.5, 1.5))
    methods: list[tuple[str, float | None]] = [("ptdq", None), ("ptsq", None), ("qat", None)]
    methods += [(norm, ratio) for norm in ("l1", "l2") for ratio in RATIOS]
    methods += [(recipe, None) for recipe in own]
    variants = tuple(_variant(rng, method, ratio, base, runs, costs) for method, ratio in methods)
    learned = "not known" if runs == 0 else "not learned" if rng.uniform() < 0.2 else "learned"
    baseline: MaybeEstimate = estimate(base, 0.04 * base, runs) if runs else NOT_MEASURED
    total = 10 * 33
    return Combination(
        f"{algorithm}-{environment}-v4-{runtime}",
        algorithm,
        environment,
        f"{environment}-v4",
        runtime,
        300_000,
        tuple(range(runs)),
        Cells(33 * runs, 1 if runs == 2 else 0, total - 33 * runs - (runs == 2)),
        baseline,
        estimate(0.01 * base, 1.0, 1),
        Learned(learned, 0.25 * base, base, "a table", f"{learned}: drawn at random"),  # type: ignore[arg-type]
        float(base * rng.uniform(0.5, 1.5)),
        float(base * rng.uniform(0.5, 1.5)),
        variants,
        _baseline_costs(runs) if costs and runs else {},
    )


def _table1(c: Combination) -> QuantizationRow:
    named = {name: c.variant(name) for name in ("ptdq", "ptsq", "qat")}
    returns: dict[str, MaybeEstimate] = {name: v.returns if v else NOT_MEASURED for name, v in named.items()}
    known = {name: v.value for name, v in returns.items() if isinstance(v, Estimate)}
    published = {name: v.published for name, v in named.items() if v and v.published is not None}
    return QuantizationRow(
        c.name,
        {"baseline": c.baseline, **returns},
        {"baseline": c.published_baseline or 0.0, **published},
        max(known, key=lambda name: known[name]) if known else None,
        max(published, key=lambda name: published[name]) if published else None,
    )


def _table2(c: Combination) -> PruningRow:
    ratios = {}
    for norm in ("l1", "l2"):
        done = [v for v in c.of_method(norm) if isinstance(v.returns, Estimate)]
        passing = [v for v in done if v.keeps_90_percent]
        if done:
            best = max(passing, key=lambda v: v.ratio or 0.0) if passing else done[0]
            ratios[norm] = Pruned(best.ratio if passing else None, True, best.returns)
    best_returns = [p.returns for p in ratios.values() if p.ratio is not None and isinstance(p.returns, Estimate)]
    best_return: MaybeEstimate = (
        max(best_returns, key=lambda e: e.value) if best_returns else Missing("no ratio passes")
    )
    published = {"baseline": 1000.0, "best_pruned": 905.9, "l1_ratio": 0.05, "l2_ratio": 0.1}
    return PruningRow(c.name, c.baseline, best_return, ratios, published)


def _table3(row: PruningRow) -> OptimalRow:
    passing = {norm: p.ratio for norm, p in row.ratios.items() if p.ratio is not None}
    if not row.ratios:
        return OptimalRow(row.combination, None, None, "no pruned agent has been measured", "l1", 0.05)
    norm = max(passing, key=lambda n: passing[n]) if passing else "none"
    return OptimalRow(row.combination, norm, passing.get(norm), "", "l2", 0.3)


def _series(combinations: Sequence[Combination], runtime: str, costs: bool) -> list[Series]:
    made = []
    methods = {1: ("ptdq", "ptsq", "qat"), 2: ("l1",), 3: ("l2",)}
    for figure, shown in methods.items():
        for quantity, (_, unit) in _COSTS.items():
            points = tuple(
                Point(c.name, c.algorithm, c.environment, v.method, v.ratio, cost.absolute, cost.relative, cost.source)
                for c in combinations
                for v in c.variants
                if v.method in shown and (cost := v.costs.get(quantity)) is not None
            )
            missing = "" if points else "the study file asks for no costs"
            made.append(Series(figure, quantity, _TITLES[quantity], unit, runtime, points, missing))
    return made


def _aggregates(runtime: str, runs: int) -> list[Aggregate]:
    made = []
    kinds: list[tuple[str, float | None, float]] = [("ptdq", None, 0.97), ("ptsq", None, 0.85), ("qat", None, 0.9)]
    kinds += [(norm, ratio, 1 - (1.1 if norm == "l2" else 1.4) * ratio) for norm in ("l1", "l2") for ratio in RATIOS]
    for method, ratio, level in kinds:
        if runs < 2:
            why = "one training seed: an aggregate needs two"
            made.append(Aggregate(method, ratio, runtime, 0, 0, Missing(why), Missing(why), (), why))
            continue
        profile = []
        for score in np.linspace(0.0, 1.2, 25):
            share = float(1 / (1 + np.exp(12 * (score - level))))
            between = Interval(share, max(share - 0.06, 0.0), min(share + 0.06, 1.0), 0.95, "drawn")
            profile.append(ProfilePoint(float(score), between))
        iqm = estimate(level, 0.03, 20 * runs)
        made.append(Aggregate(method, ratio, runtime, 20, 20 * runs, iqm, iqm, tuple(profile), ""))
    return made


def _improvements(runtime: str, runs: int) -> list[Improvement]:
    pairs = [("ptdq", "ptsq", 0.71), ("ptdq", "qat", 0.62), ("qat", "ptsq", 0.55), ("l2", "l1", 0.58)]
    why = Missing("one training seed: an aggregate needs two")
    return [
        Improvement(a, b, runtime, 20 if runs > 1 else 0, estimate(p, 0.09, 20 * runs) if runs > 1 else why)
        for a, b, p in pairs
    ]


def _findings(runtimes: Sequence[str], data: bool) -> tuple[Finding, ...]:
    verdicts = ("holds", "does not hold", "undecided", "no data")
    made = []
    for index, (name, statement) in enumerate(_STATEMENTS.items()):
        study = tuple(
            Evidence(
                verdicts[(index + at) % 4] if data else "no data",  # type: ignore[arg-type]
                "Drawn at random: of 20 combinations 9 have it so (45 %, 95 % interval 26 % to 66 %)."
                if data
                else "Nothing of it has been measured.",
                {"count": 9},
                runtime,
            )
            for at, runtime in enumerate(runtimes)
        )
        paper = Evidence(verdicts[index % 3], "By its Table 1, in 10 of 25 rows.", {"count": 10})  # type: ignore[arg-type]
        contradictions = ("The baselines of Table 1 and Table 2 differ in 20 of 25 rows.",) if index % 2 else ()
        made.append(Finding(name, statement, "4", paper, contradictions, study))
    return tuple(made)


_STATEMENTS = {
    "ptdq-best": "Dynamic quantization is the best of the three in 40 % of the combinations.",
    "ptsq-worst": "Static quantization is the worst of the three.",
    "l2-favoured": "L2 pruning is favoured over L1.",
    "ten-percent-safe": "Pruning 10 % by L2 is safe.",
    "no-faster": "Neither quantization nor pruning makes inference faster.",
}


def make_report(
    *,
    runs: int = 3,
    algorithms: Sequence[str] = ALGORITHMS,
    environments: Sequence[str] = ENVIRONMENTS,
    runtimes: Sequence[str] = ("onnxruntime",),
    costs: bool = True,
    empty: bool = False,
    own: Sequence[str] = (),
    **changed: Any,
) -> StudyReport:
    """A report of a grid with ``runs`` training seeds each; the last combination has none. ``empty``: nothing ran."""
    rng = np.random.default_rng(0)
    grid = [(r, a, e) for r in runtimes for a in algorithms for e in environments]
    combinations = tuple(
        _combination(rng, a, e, r, 0 if empty or (a, e) == (algorithms[-1], environments[-1]) else runs, costs, own)
        for r, a, e in grid
    )
    table2 = tuple(_table2(c) for c in combinations)
    done = sum(c.cells.done for c in combinations)
    values: dict[str, Any] = {
        "study": "synthetic",
        "description": "drawn at random, to test the page; no result of anything",
        "paper": "H. Lu, M. Alemi and R. Rawassizadeh (2024)",
        "provenance": Provenance(
            ()
            if empty
            else ("policypress study run synthetic.yml", "policypress study report synthetic.yml -o report"),
            "0.1.0",
            "2",
            "" if empty else "2026-11-20T08:00:00+00:00",
            "" if empty else "2026-11-21T12:00:00+00:00",
            {"torch": ("2.13.0",), "onnxruntime": ("1.31.0",)},
            ("Linux, x86_64",),
            (),
            {} if empty else {"30": done * 30},
            {} if empty else {"ParityError: the file would not do what the policy does": 2},
        ),
        "cells": Cells(done, sum(c.cells.failed for c in combinations), sum(c.cells.left for c in combinations)),
        "algorithms": tuple(algorithms),
        "environments": tuple(environments),
        "runtimes": tuple(runtimes),
        "reduced": ("Trainings have 300,000 steps.", f"{runs} training seeds of 10."),
        "combinations": combinations,
        "table1": tuple(_table1(c) for c in combinations),
        "table2": table2,
        "table3": tuple(_table3(row) for row in table2),
        "series": tuple(
            s for r in runtimes for s in _series([c for c in combinations if c.runtime == r], r, costs and not empty)
        ),
        "aggregates": tuple(a for r in runtimes for a in _aggregates(r, 0 if empty else runs)),
        "improvements": tuple(i for r in runtimes for i in _improvements(r, 0 if empty else runs)),
        "findings": _findings(runtimes, not empty),
        "contradictions": ("The baselines of Table 1 and Table 2 differ in 20 of 25 rows.",),
    }
    return StudyReport(**{**values, **changed})
