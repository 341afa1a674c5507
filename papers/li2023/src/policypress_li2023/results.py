"""The whole reproduction of Li (2023) as data: what ``report.json`` holds and the page shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from policypress.engine.store.reader import StoreReader
from policypress.measurement.seed_statistics import mean_over_seeds
from policypress.measurement.statistics import Interval, Missing
from policypress.report.studies.estimates import plain
from policypress.report.studies.evidence import Finding
from policypress_li2023.comparing import FEW, FEWEST
from policypress_li2023.findings import LAST, findings, kept
from policypress_li2023.memory import MemoryRow, memory_row
from policypress_li2023.trainings import FORMS, Form, Task, read_tasks
from policypress_li2023.trends import Trend, trend
from policypress_runtime.errors import StudyInputError

SCHEMA = 1
_WINDOWS = {"CartPole": 10}
_WINDOW = 20


@dataclass(frozen=True)
class FormSummary:
    """One form of a task.

    Attributes:
        done: trainings there are.
        planned: trainings the study asks for.
        last: mean return of the last episodes of training, over seeds.
        evaluated: mean return of the artifact's deterministic episodes, over seeds.
        steps: environment steps of a training, on average.
        cpu_s: CPU time of a training, on average; evaluations included.
        trend: of its returns.
    """

    done: int
    planned: int
    last: Interval | Missing
    evaluated: Interval | Missing
    steps: float | None
    cpu_s: float | None
    trend: Trend | None


@dataclass(frozen=True)
class TaskSummary:
    """An algorithm in an environment.

    Attributes:
        episodes: that each training has; ``last`` counts the last :data:`LAST` of them, or the last fifth.
        kept: share of what fp32 learned that is learned with QAT.
        hyperparameters: source of the first training's.
    """

    algorithm: str
    environment: str
    environment_id: str
    episodes: int
    last_episodes: int
    forms: Mapping[Form, FormSummary]
    kept: Interval | Missing
    hyperparameters: str


@dataclass(frozen=True)
class LiResults:
    """Everything of the report.

    Attributes:
        study: name.
        tasks: in the paper's order, then what it announces.
        memory: table 2, and the same for the other tasks.
        findings: the paper's statements.
        versions: package → version, of the first training.
        missing: trainings that the study asks for and does not have yet.
    """

    study: str
    tasks: tuple[TaskSummary, ...]
    memory: tuple[MemoryRow, ...]
    findings: tuple[Finding, ...]
    versions: Mapping[str, str]
    missing: int

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {"schema": SCHEMA, "report": "li2023", **plain(self)}


def read_results(store: StoreReader) -> LiResults:
    """The reproduction, from a study's database.

    Raises:
        StudyInputError: the study has no trainings of its own.
    """
    tasks = read_tasks(store)
    if not tasks:
        raise StudyInputError(
            "This study trains nothing that Li (2023) trains.", got=str(store.path), expected="the study li2023"
        )
    rows = tuple(memory_row(task) for task in tasks if any(task.runs.values()))
    records = [run.record for task in tasks for form in FORMS for run in task.runs[form]]
    summaries = tuple(_summary(task) for task in tasks)
    return LiResults(
        study=store.note("study") or "li2023",
        tasks=summaries,
        memory=rows,
        findings=findings(tasks, rows),
        versions=dict(records[0]["versions"]) if records else {},
        missing=sum(form.planned - form.done for task in summaries for form in task.forms.values()),
    )


def _summary(task: Task) -> TaskSummary:
    last = min(LAST, max(task.episodes // 5, 1))
    sources = [str(run.record["source"]) for form in FORMS for run in task.runs[form]]
    return TaskSummary(
        algorithm=task.algorithm,
        environment=task.environment,
        environment_id=task.environment_id,
        episodes=task.episodes,
        last_episodes=last,
        forms={form: _form(task, form, last) for form in FORMS},
        kept=kept(task),
        hyperparameters=sources[0] if sources else "",
    )


def _form(task: Task, form: Form, last: int) -> FormSummary:
    runs = task.runs[form]
    played = [list(run.evaluated) for run in runs if run.evaluated]
    return FormSummary(
        done=len(runs),
        planned=task.planned[form],
        last=_mean([[float(np.mean(seed[-last:]))] for seed in task.returns(form)]),
        evaluated=_mean(played),
        steps=float(np.mean([run.record["steps"] for run in runs])) if runs else None,
        cpu_s=float(np.mean([run.record["cpu_s"] for run in runs])) if runs else None,
        trend=trend(task.returns(form), _WINDOWS.get(task.environment, _WINDOW)),
    )


def _mean(groups: Sequence[Sequence[float]]) -> Interval | Missing:
    return mean_over_seeds(groups) if len(groups) >= FEWEST else FEW
