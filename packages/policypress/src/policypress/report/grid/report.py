"""The general report of a study as plain data: what ``report.json`` holds and what the page is made from.

Every number is an :class:`~policypress.report.studies.estimates.Estimate`, or the reason why there is none. Returns are
raw sums of rewards; times are in seconds, sizes in bytes, energies in joules; shares are numbers, 1 for all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from policypress.engine.store.reader import StoreReader
from policypress.report.grid.outcomes import AgentOutcomes
from policypress.report.grid.reading import read_agents
from policypress.report.grid.summary import Improvement, RecipeSummary, answer, improvements, summaries
from policypress.report.studies.estimates import plain
from policypress.report.studies.provenance import Provenance, read_provenance
from policypress.report.studies.runs import Cells, Run, read_runs

SCHEMA = 1


@dataclass(frozen=True)
class GridReport:
    """Everything that a study found, from its database.

    Attributes:
        study: its name.
        description: from its file.
        provenance: where the numbers come from.
        cells: how many cells of the whole study are done.
        runtimes: ``onnxruntime`` before ``native``.
        agents: by runtime, then in the order of the study file.
        recipes: over all agents, by runtime, the smallest first.
        answers: runtime → the recipe to take: that keeps 95 % of the return in most agents, and of these the smallest;
            by the same episodes for all, not certified on new ones. None where no recipe keeps it in any.
        improvements: of each answer on every other recipe.
    """

    study: str
    description: str
    provenance: Provenance
    cells: Cells
    runtimes: tuple[str, ...]
    agents: tuple[AgentOutcomes, ...]
    recipes: tuple[RecipeSummary, ...]
    answers: Mapping[str, str | None]
    improvements: tuple[Improvement, ...]

    def agents_of(self, runtime: str) -> tuple[AgentOutcomes, ...]:
        """The agents under one runtime."""
        return tuple(agent for agent in self.agents if agent.runtime == runtime)

    def recipes_of(self, runtime: str) -> tuple[RecipeSummary, ...]:
        """The recipes under one runtime."""
        return tuple(one for one in self.recipes if one.runtime == runtime)

    def answer(self, runtime: str) -> RecipeSummary | None:
        """The recipe to take under a runtime."""
        name = self.answers.get(runtime)
        return next((one for one in self.recipes_of(runtime) if one.recipe == name), None)

    def to_json(self) -> dict[str, Any]:
        """The object of ``report.json``."""
        return {"schema": SCHEMA, "report": "grid", **plain(self)}

    def to_text(self) -> str:
        """The content of ``report.json``."""
        return json.dumps(self.to_json(), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def read_report(store: StoreReader, name: str, file_name: str, description: str = "") -> GridReport:
    """Everything that the database says.

    Args:
        store: of the study; it may be unfinished, and a driver may be at work.
        name: of the study.
        file_name: of the study's file, for the commands.
        description: from the study's file.

    Raises:
        StoreError: the database is damaged or of another schema.
    """
    study = read_runs(store)
    agents = read_agents(study)
    runtimes = tuple(dict.fromkeys(agent.runtime for agent in agents))
    recipes = tuple(one for runtime in runtimes for one in summaries(agents, runtime))
    answers: dict[str, str | None] = {}
    better: list[Improvement] = []
    for runtime in runtimes:
        best = answer([one for one in recipes if one.runtime == runtime])
        answers[runtime] = None if best is None else best.recipe
        better += () if best is None else improvements(agents, best.recipe, runtime)
    return GridReport(
        study=name,
        description=description,
        provenance=read_provenance(store, file_name, _machines(study.runs)),
        cells=Cells.of({str(status): count for status, count in store.counts().items()}),
        runtimes=runtimes,
        agents=agents,
        recipes=recipes,
        answers=answers,
        improvements=tuple(better),
    )


def _machines(runs: Iterable[Run]) -> tuple[Mapping[str, Any], ...]:
    """The machines of the cost measurements, each once."""
    found: dict[str, Mapping[str, Any]] = {}
    for run in runs:
        if run.costs.machine is not None:
            found.setdefault(json.dumps(dict(run.costs.machine), sort_keys=True, default=str), dict(run.costs.machine))
    return tuple(found.values())
