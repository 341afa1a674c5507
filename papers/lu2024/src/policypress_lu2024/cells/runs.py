"""From the database to the paper's groups: an algorithm in an environment, as the rows of its tables are."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from policypress.engine.store.reader import StoreReader
from policypress.report.studies.runs import BASELINE, Agent, Kind, Run, StudyRuns, read_runs
from policypress.report.studies.wording import short_name

_PRUNE = re.compile(r"prune\((l1|l2), ([0-9.]+)\)")


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
    return groups_of(read_runs(store))


def groups_of(study: StudyRuns) -> tuple[Group, ...]:
    """The groups of a study's runs."""
    groups: dict[tuple[str, str, int | None, str], Group] = {}
    for (identity, runtime), states in study.states.items():
        if runtime:
            key = _key(study.agents[identity], runtime)
            groups.setdefault(key, Group(*key)).states.update(states)
    for run in study.runs:
        _add(groups[_key(run.agent, run.runtime)], run)
    for key, group in groups.items():
        group.random = study.random.get(group.environment_id, ())
        for (identity, runtime), states in study.states.items():
            if not runtime and _key(study.agents[identity], group.runtime) == key:
                group.states.update(states)
    return tuple(groups.values())


def _key(agent: Agent, runtime: str) -> tuple[str, str, int | None, str]:
    return agent.algorithm, agent.environment_id, agent.steps, runtime


def _add(group: Group, run: Run) -> None:
    agent = run.agent
    if run.recipe != BASELINE:
        runs = group.variants.setdefault((run.recipe, agent.kind), {})
    else:
        runs = group.baselines if agent.kind == "plain" else group.own_baselines.setdefault(agent.kind, {})
    runs[agent.seed] = run
