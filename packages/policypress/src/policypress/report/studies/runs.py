"""From the database to runs: every agent of a study with every recipe under every runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from policypress.engine.store.reader import AgentRow, CellResult, Status, StoreReader
from policypress.records import ArtifactRecord
from policypress.report.costs import Costs, read_costs
from policypress.report.studies.over_seeds import BySeed, reason_of
from policypress.study.training_identity import qat_words

Kind = str
"""How an agent was trained: ``plain``, ``qat`` (and its other forms, as ``qat-raw``), ``sparse`` or ``gradual``."""
RAW = ("unscaled", "per-tensor")
BASELINE = "none"
_WITHOUT_FAST = ("ppo", "trpo")


@dataclass(frozen=True)
class Cells:
    """How many cells of something are done, failed, and left (planned or running, not afforded yet)."""

    done: int
    failed: int
    left: int

    @classmethod
    def of(cls, states: Mapping[str, int]) -> Cells:
        """From the number of cells of each status."""
        left = states.get("pending", 0) + states.get("running", 0)
        return cls(states.get("done", 0), states.get("failed", 0), left)

    @property
    def total(self) -> int:
        """All of them."""
        return self.done + self.failed + self.left


@dataclass(frozen=True)
class Agent:
    """An agent of the study: how it was trained, and which repetition it is.

    ``steps`` is None for one that was given; its ``seed`` is then the next number among those of the same algorithm
    and environment. ``label`` is the study file's, ``source`` where it was read from. ``update`` says what computed
    its gradient steps, where that is recorded: agents of two updates differ in more than what they are compared by.
    """

    identity: str
    algorithm: str
    environment_id: str
    steps: int | None
    kind: Kind
    seed: int
    update: str = ""
    label: str = ""
    source: str = ""


@dataclass(frozen=True)
class Run:
    """One agent with one recipe under one runtime: its status, and what was measured if it is done.

    ``returns`` and ``lengths`` have one value for each episode; ``failure`` is the error's first line; ``steps`` are
    the recipe's, in JSON form.
    """

    agent: Agent
    recipe: str
    runtime: str
    status: Status
    failure: str
    returns: tuple[float, ...]
    lengths: tuple[float, ...]
    artifact: ArtifactRecord | None
    costs: Costs
    steps: tuple[Mapping[str, Any], ...] = ()


BySeedRuns = Mapping[int, Run]


@dataclass(frozen=True)
class StudyRuns:
    """All runs of a study.

    Attributes:
        agents: identity → agent.
        runs: in the order in which they were planned; last those of which only costs are known.
        states: (identity, runtime) → status → number of cells; the runtime of an agent's own preparation is empty.
        random: environment's id → returns of random actions.
        cost_failures: (identity, recipe, runtime) → why a cost cell failed.
    """

    agents: Mapping[str, Agent]
    runs: tuple[Run, ...]
    states: Mapping[tuple[str, str], Counter[str]]
    random: Mapping[str, tuple[float, ...]]
    cost_failures: Mapping[tuple[str, str, str], str]


def read_runs(store: StoreReader) -> StudyRuns:
    """Every run that the store has or plans. Of costs that were measured again, the newest count."""
    agents = _agents(store.agents(), store.trainings())
    results = _newest(store.results())
    runs: dict[tuple[str, str, str], Run] = {}
    states: dict[tuple[str, str], Counter[str]] = {}
    failures: dict[tuple[str, str, str], str] = {}
    for one in sorted(results, key=lambda one: one.row.cell.kind == "cost"):  # costs are added to runs that are known
        cell = one.row.cell
        agent = agents.get(cell.agent_sha256 or "")
        if agent is None:
            continue
        runtime = "" if cell.kind == "agent" else cell.protocol.runtime
        states.setdefault((agent.identity, runtime), Counter())[one.row.status] += 1
        key = (agent.identity, cell.recipe, runtime)
        if cell.kind == "cost":
            _add_costs(runs, key, one, agent)
            if one.failure:
                failures[key] = one.failure
        elif cell.kind != "agent":
            runs[key] = _run(one, agent)
    random = {one.environment_id: one.returns for one in results if one.row.cell.kind == "random" and one.done}
    return StudyRuns(agents, tuple(runs.values()), states, random, failures)


def returns_by_seed(runs: BySeedRuns) -> dict[int, tuple[float, ...]]:
    """Training seed → returns, of those that have played."""
    return {seed: run.returns for seed, run in sorted(runs.items()) if run.returns}


def lengths_by_seed(runs: BySeedRuns) -> dict[int, tuple[float, ...]]:
    """Training seed → lengths of episodes, of those that have played."""
    return {seed: run.lengths for seed, run in sorted(runs.items()) if run.lengths}


def means_by_seed(samples: BySeed) -> dict[int, float]:
    """Training seed → mean."""
    return {seed: float(np.mean(values)) for seed, values in samples.items()}


def reason_for(runs: BySeedRuns) -> str:
    """Why nothing was measured of them."""
    return reason_of((run.status for run in runs.values()), (run.failure for run in runs.values() if run.failure))


def _agents(rows: Iterable[AgentRow], trainings: Mapping[str, Mapping[str, Any]]) -> dict[str, Agent]:
    """Every agent by identity; one that was given takes the next number as its seed."""
    agents: dict[str, Agent] = {}
    given: Counter[tuple[str, str]] = Counter()
    for row in rows:
        environment_id = "" if row.environment is None else row.environment.id
        spec = row.training.get("spec")
        label = str(row.training.get("label") or "")
        if not isinstance(spec, Mapping):
            place = (row.algorithm, environment_id)
            agents[row.sha256] = Agent(
                row.sha256,
                row.algorithm,
                environment_id,
                None,
                "plain",
                given[place],
                label=label,
                source=row.source,
            )
            given[place] += 1
            continue
        agents[row.sha256] = Agent(
            row.sha256,
            row.algorithm,
            environment_id,
            int(spec["steps"]),
            _kind(spec),
            int(spec["seed"]),
            _update(row.algorithm, trainings.get(row.sha256)),
            label,
            row.source,
        )
    return agents


def _kind(spec: Mapping[str, Any]) -> Kind:
    if spec.get("qat") is not None:
        words = qat_words(spec["qat"])
        return "-".join(("qat", *(("raw",) if words == RAW else words)))
    if spec.get("sparse") is not None:
        return "sparse"
    return "plain" if spec.get("prune") is None else "gradual"


def _update(algorithm: str, record: Mapping[str, Any] | None) -> str:
    """What computed a training's gradient steps, in words; empty where there is no record of it."""
    if record is None:
        return ""
    if record.get("kernels"):
        return f"the native update with {record['kernels']} kernels"
    stock = algorithm in _WITHOUT_FAST or record.get("spec", {}).get("update") == "stock"
    return "the library's update" if stock else "the fast update"


def _newest(results: Iterable[CellResult]) -> tuple[CellResult, ...]:
    """Of cells that differ only in their protocol or a method's version, the one that is done, and was planned last."""
    chosen: dict[tuple[object, ...], CellResult] = {}
    for one in results:
        cell = one.row.cell
        key = (cell.kind, cell.agent_sha256, one.environment_id, cell.recipe, cell.protocol.runtime)
        known = chosen.get(key)
        if known is None or one.done or not known.done:
            chosen[key] = one
    return tuple(chosen.values())


def _run(one: CellResult, agent: Agent) -> Run:
    cell, artifact = one.row.cell, one.artifact if one.done else None
    return Run(
        agent=agent,
        recipe=cell.recipe,
        runtime=cell.protocol.runtime,
        status=one.row.status,
        failure=one.failure,
        returns=one.returns if one.done else (),
        lengths=one.lengths if one.done else (),
        artifact=artifact,
        costs=read_costs(one.measurements if one.done else (), None if artifact is None else artifact.sha256),
        steps=_steps(one),
    )


def _steps(one: CellResult) -> tuple[Mapping[str, Any], ...]:
    return tuple(step for step in one.row.cell.recipe_json.get("steps", ()) if isinstance(step, Mapping))


def _add_costs(runs: dict[tuple[str, str, str], Run], key: tuple[str, str, str], one: CellResult, agent: Agent) -> None:
    """Costs that were measured in a cell of their own belong to the run of that recipe under that runtime."""
    if not one.done or not one.measurements:
        return
    # The newest measurement says which build it was made of.
    costs = read_costs(one.measurements, one.measurements[-1].protocol.get("artifact_sha256"))
    known = runs.get(key)
    if known is None:
        # Not played under this runtime: its return is not known, its costs are.
        known = Run(agent, key[1], key[2], "done", "", (), (), None, costs, _steps(one))
    runs[key] = replace(known, costs=costs)
