"""The whole report of a study from its database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from policypress.engine.store.reader import StoreReader
from policypress.report.studies.provenance import read_provenance
from policypress.report.studies.runs import Cells, Run
from policypress_lu2024.cells.aggregates import aggregates, improvements
from policypress_lu2024.cells.combination import Combination
from policypress_lu2024.cells.combining import RUNTIMES, combinations, position
from policypress_lu2024.cells.runs import Group, read_groups
from policypress_lu2024.figures.series import figure_series
from policypress_lu2024.findings.overall import findings, general_contradictions
from policypress_lu2024.paper import ALGORITHMS, CITATION, ENVIRONMENTS, METHODS, REPETITIONS
from policypress_lu2024.paper_rows import optimal_rows, pruning_rows, quantization_rows
from policypress_lu2024.study_report import StudyReport

_NEEDED = len(ALGORITHMS) * len(ENVIRONMENTS)


def read_study_report(store: StoreReader, file_name: str) -> StudyReport:
    """Everything that the database says.

    Args:
        store: of the study; it may be unfinished, and a driver may be at work.
        file_name: of the study's file, for the commands.

    Raises:
        StoreError: the database is damaged or of another schema.
    """
    groups = read_groups(store)
    found = combinations(groups)
    spec = json.loads(store.note("spec_json") or "{}")
    counts = store.counts()
    algorithms = _ordered((combination.algorithm for combination in found), ALGORITHMS)
    environments = _ordered((combination.environment for combination in found), ENVIRONMENTS)
    runtimes = _ordered((combination.runtime for combination in found), RUNTIMES)
    return StudyReport(
        study=str(store.note("study") or spec.get("name", "")),
        description=str(spec.get("description", "")),
        paper=CITATION,
        provenance=read_provenance(store, file_name, _machines(groups)),
        cells=Cells(counts["done"], counts["failed"], counts["pending"] + counts["running"]),
        algorithms=algorithms,
        environments=environments,
        runtimes=runtimes,
        reduced=reduced(found),
        combinations=found,
        table1=quantization_rows(found),
        table2=pruning_rows(found),
        table3=optimal_rows(found),
        series=figure_series(found, runtimes),
        aggregates=aggregates(found, runtimes),
        improvements=improvements(found, runtimes),
        findings=findings(found, runtimes),
        contradictions=general_contradictions(),
    )


def reduced(found: Sequence[Combination]) -> tuple[str, ...]:
    """How the study falls short of the paper's, and what else has to be known to read it."""
    places = {(c.algorithm, c.environment) for c in found if c.seeds}
    told = []
    if len(places) < _NEEDED:
        told.append(f"Baselines are measured in {len(places)} of the paper's {_NEEDED} combinations.")
    seeds = [len(c.seeds) for c in found if c.seeds]
    if seeds and min(seeds) < REPETITIONS:
        span = str(min(seeds)) if min(seeds) == max(seeds) else f"{min(seeds)} to {max(seeds)}"
        noun = "training seed" if span == "1" else "training seeds"
        told.append(f"A combination has {span} {noun}; the paper repeats each experiment {REPETITIONS} times.")
    if seeds and min(seeds) == 1:
        told.append("Where there is one training seed, intervals are over the episodes of that agent alone.")
    methods = {v.method for c in found for v in c.variants if v.cells.done}
    missing = [method.upper() for method in METHODS if method not in methods]
    if found and missing:
        told.append(f"Not measured yet: {', '.join(missing)}.")
    unlearned = sorted({f"{c.algorithm} {c.environment}" for c in found if c.seeds and c.learned.verdict != "learned"})
    if unlearned:
        told.append(
            f"Marked, and kept out of aggregates, since their baseline has not learned: {', '.join(unlearned)}."
        )
    steps = sorted({c.steps for c in found if c.steps is not None})
    if steps:
        span = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
        told.append(f"Trainings have {span} environment steps; the paper does not state its own.")
    return tuple(told)


def _ordered(names: Iterable[str], known: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(names), key=lambda name: position(known, name)))


def _machines(groups: Iterable[Group]) -> tuple[dict[str, Any], ...]:
    """The machines of the cost measurements, each once."""
    found: dict[str, dict[str, Any]] = {}
    for run in (run for group in groups for run in _all_runs(group)):
        if run.costs.machine is not None:
            machine = dict(run.costs.machine)
            found.setdefault(json.dumps(machine, sort_keys=True, default=str), machine)
    return tuple(found.values())


def _all_runs(group: Group) -> Iterable[Run]:
    yield from group.baselines.values()
    for runs in (*group.own_baselines.values(), *group.variants.values()):
        yield from runs.values()
