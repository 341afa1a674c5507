"""From the database to runs: every agent with every recipe under every runtime, grouped as the paper's tables are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from policypress.engine.store.reader import AgentRow, CellRow, Status, StoreReader
from policypress.records import ArtifactRecord
from policypress.report.costs import Costs, read_costs
from policypress.study.training_identity import qat_words

Kind = str
"""How an agent was trained: ``plain``, ``qat`` (and its other forms, as ``qat-raw``), ``sparse`` or ``gradual``."""
RAW = ("unscaled", "per-tensor")
BASELINE = "none"
_WITHOUT_FAST = ("ppo", "trpo")
_PRUNE = re.compile(r"prune\((l1|l2), ([0-9.]+)\)")


@dataclass(frozen=True)
class Agent:
    """An agent of the study: how it was trained, and which repetition it is.

    ``update`` says what computed its gradient steps, where that is recorded: agents of two updates differ in more than
    what they are compared by.
    """

    identity: str
    algorithm: str
    environment_id: str
    steps: int | None
    kind: Kind
    seed: int
    update: str = ""


@dataclass(frozen=True)
class Run:
    """One agent with one recipe: its status, and what was measured if it is done.

    ``returns`` and ``lengths`` have one value for each episode; ``failure`` is the error's first line.
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


@dataclass
class Group:
    """All runs of an algorithm in an environment with as many training steps, under one runtime.

    Attributes:
        baselines: training seed → the fp32 agent.
        own_baselines: kind → training seed → the fp32 form of an agent that was trained in another way.
        variants: (recipe, kind of its agents) → training seed → run.
        states: of all its cells.
        random: returns of random actions.
    """

    algorithm: str
    environment_id: str
    steps: int | None
    runtime: str
    baselines: dict[int, Run] = field(default_factory=dict)
    own_baselines: dict[Kind, dict[int, Run]] = field(default_factory=dict)
    variants: dict[tuple[str, Kind], dict[int, Run]] = field(default_factory=dict)
    states: Counter[str] = field(default_factory=Counter)
    random: tuple[float, ...] = ()

    @property
    def environment(self) -> str:
        """Its environment without the version, as the paper names it."""
        return short_name(self.environment_id)


def short_name(environment_id: str) -> str:
    """An environment's id without namespace and version.

    >>> short_name("ALE/Pong-v5")
    'Pong'
    """
    return re.sub(r"-v\d+$", "", environment_id.rsplit("/", 1)[-1])


def method_of(recipe: str, kind: Kind = "plain") -> tuple[str, float | None]:
    """Method and pruning ratio of a recipe on agents of a kind.

    >>> method_of("prune(l1, 0.05)", "sparse")
    ('sparse-l1', 0.05)
    """
    matched = _PRUNE.fullmatch(recipe)
    method, ratio = (recipe, None) if matched is None else (matched[1], float(matched[2]))
    if kind == "plain" or method == kind:
        return method, ratio
    if method == "qat" and kind.startswith("qat-"):
        return kind, ratio
    return f"{kind}-{method}", ratio


def read_groups(store: StoreReader) -> tuple[Group, ...]:
    """Every group that the store has runs or plans of, in the order in which they were planned."""
    agents = _agents(store.agents(), store.trainings())
    groups: dict[tuple[str, str, int | None, str], Group] = {}
    rows = _newest(store.cells())
    random = {_environment(row): store.episodes(row.key) for row in rows if _is(row, "random")}
    preparing: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: _kind_of(row) == "cost"):  # costs are added to runs that are known
        agent = agents.get(row.cell.agent_sha256 or "")
        if agent is None:
            continue
        if _kind_of(row) == "agent":
            preparing[agent.identity] = row.status
            continue
        key = (agent.algorithm, agent.environment_id, agent.steps, row.cell.protocol.runtime)
        group = groups.setdefault(key, Group(*key))
        group.states[row.status] += 1
        if _kind_of(row) == "cost":
            _add_costs(group, store, row, agent)
        else:
            _add(group, _run(store, row, agent))
    for group in groups.values():
        group.random = tuple(float(episode.episode_return) for episode in random.get(group.environment_id, ()))
        group.states.update(
            preparing[name] for name, agent in agents.items() if name in preparing and _of(group, agent)
        )
    return tuple(groups.values())


def _of(group: Group, agent: Agent) -> bool:
    return (agent.algorithm, agent.environment_id, agent.steps) == (
        group.algorithm,
        group.environment_id,
        group.steps,
    )


def _kind_of(row: CellRow) -> str:
    return row.cell.kind


def _agents(rows: Iterable[AgentRow], trainings: Mapping[str, Mapping[str, Any]]) -> dict[str, Agent]:
    """Every agent by identity; one that was given takes the next number as its seed."""
    agents: dict[str, Agent] = {}
    given: Counter[tuple[str, str]] = Counter()
    for row in rows:
        environment_id = "" if row.environment is None else row.environment.id
        spec = row.training.get("spec")
        if not isinstance(spec, Mapping):
            place = (row.algorithm, environment_id)
            agents[row.sha256] = Agent(row.sha256, row.algorithm, environment_id, None, "plain", given[place])
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


def _newest(rows: Iterable[CellRow]) -> tuple[CellRow, ...]:
    """Of cells that differ only in their protocol or a method's version, the one that is done, and was planned last."""
    chosen: dict[tuple[object, ...], CellRow] = {}
    for row in rows:
        cell = row.cell
        key = (cell.kind, cell.agent_sha256, _environment(row), cell.recipe, cell.protocol.runtime)
        known = chosen.get(key)
        if known is None or row.status == "done" or known.status != "done":
            chosen[key] = row
    return tuple(chosen.values())


def _environment(row: CellRow) -> str:
    return "" if row.cell.environment is None else row.cell.environment.id


def _is(row: CellRow, kind: str) -> bool:
    return _kind_of(row) == kind and row.status == "done"


def _run(store: StoreReader, row: CellRow, agent: Agent) -> Run:
    done = row.status == "done"
    episodes = store.episodes(row.key) if done else ()
    artifact = store.artifact(row.key) if done else None
    measurements = store.measurements(row.key) if done else ()
    lines = "" if row.failure is None else row.failure.message.splitlines()
    return Run(
        agent=agent,
        recipe=row.cell.recipe,
        runtime=row.cell.protocol.runtime,
        status=row.status,
        failure=lines[0] if lines else "",
        returns=tuple(float(episode.episode_return) for episode in episodes),
        lengths=tuple(float(episode.length) for episode in episodes),
        artifact=artifact,
        costs=read_costs(measurements, None if artifact is None else artifact.sha256),
    )


def _add(group: Group, run: Run) -> None:
    _runs(group, run.recipe, run.agent)[run.agent.seed] = run


def _runs(group: Group, recipe: str, agent: Agent) -> dict[int, Run]:
    """Where the runs of a recipe stand."""
    if recipe != BASELINE:
        return group.variants.setdefault((recipe, agent.kind), {})
    return group.baselines if agent.kind == "plain" else group.own_baselines.setdefault(agent.kind, {})


def _add_costs(group: Group, store: StoreReader, row: CellRow, agent: Agent) -> None:
    """Costs that were measured in a cell of their own belong to the run of that recipe under that runtime."""
    measurements = store.measurements(row.key) if row.status == "done" else ()
    if not measurements:
        return
    runs = _runs(group, row.cell.recipe, agent)
    # The newest measurement says which build it was made of.
    costs = read_costs(measurements, measurements[-1].protocol.get("artifact_sha256"))
    known = runs.get(agent.seed)
    if known is None:
        # Not played under this runtime: its return is not known, its costs are.
        known = Run(agent, row.cell.recipe, row.cell.protocol.runtime, "done", "", (), (), None, costs)
    runs[agent.seed] = replace(known, costs=costs)
