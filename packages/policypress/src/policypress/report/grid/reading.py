"""From runs to agents: every estimate of an agent with every recipe under one runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from policypress.measurement.statistics import LU_SHARE, Missing
from policypress.report.grid.dominance import ranked
from policypress.report.grid.outcomes import AgentOutcomes, Outcome
from policypress.report.studies.cost_estimates import Cost, costs
from policypress.report.studies.estimates import Estimate, MaybeEstimate
from policypress.report.studies.over_seeds import keeps_90_percent, mean_of, share_of
from policypress.report.studies.runs import (
    BASELINE,
    Agent,
    BySeedRuns,
    Cells,
    Run,
    StudyRuns,
    means_by_seed,
    reason_for,
    returns_by_seed,
)
from policypress.report.studies.standing import learned, references
from policypress.report.studies.wording import algorithm_name, short_name
from policypress.report.words import family_of, steps_in_words

RUNTIMES = ("onnxruntime", "native")
BASELINE_IN_WORDS = "the agent itself, fp32: what all others are compared with"
Key = tuple[object, ...]
_OF_COSTS: Mapping[str, Callable[[Run], object]] = {
    "latency": lambda run: run.costs.latency,
    "peak_rss": lambda run: run.costs.memory,
    "cpu_per_action": lambda run: run.costs.cpu_s_per_action,
    "energy_per_action": lambda run: run.costs.energy,
    "energy_per_episode": lambda run: run.costs.energy,
}


def read_agents(study: StudyRuns) -> tuple[AgentOutcomes, ...]:
    """Every agent under every runtime: by runtime, then in the order of the study file."""
    members: dict[Key, list[Agent]] = {}
    for agent in study.agents.values():
        members.setdefault(_key(agent), []).append(agent)
    places = {identity: at for at, (identity, _) in enumerate(study.states)}
    groups = sorted(members.values(), key=lambda group: min(places.get(agent.identity, len(places)) for agent in group))
    titles = _titles([group[0] for group in groups])
    runtimes = dict.fromkeys(runtime for _, runtime in study.states if runtime)
    return tuple(
        _agent(study, group, title, runtime)
        for runtime in sorted(runtimes, key=_runtime_place)
        for group, title in zip(groups, titles, strict=True)
        if any((agent.identity, runtime) in study.states for agent in group)
    )


def _runtime_place(runtime: str) -> tuple[int, str]:
    return (RUNTIMES.index(runtime) if runtime in RUNTIMES else len(RUNTIMES)), runtime


def _key(agent: Agent) -> Key:
    """Seeds of one training are one agent; of those that were given each is its own."""
    if agent.steps is None:
        return (agent.identity,)
    return agent.label, agent.algorithm, agent.environment_id, agent.steps, agent.kind


def _titles(agents: Sequence[Agent]) -> list[str]:
    """Names that differ, each as short as it may be."""
    titles = [f"{algorithm_name(agent.algorithm)} {agent.environment_id}".strip() or "agent" for agent in agents]
    details: tuple[Callable[[Agent], str], ...] = (
        lambda agent: agent.label,
        lambda agent: "" if agent.kind == "plain" else agent.kind,
        lambda agent: f"{agent.steps:,} steps" if agent.steps is not None else PurePosixPath(agent.source).name,
        lambda agent: agent.identity[:8],
    )
    for detail in details:
        words = [detail(agent) for agent in agents]
        alike: dict[str, set[str]] = {}
        for title, word in zip(titles, words, strict=True):
            alike.setdefault(title, set()).add(word)
        # What all that are called the same share tells none of them apart.
        titles = [
            f"{title}, {word}" if word and len(alike[title]) > 1 else title
            for title, word in zip(titles, words, strict=True)
        ]
    return titles


def _agent(study: StudyRuns, group: Sequence[Agent], title: str, runtime: str) -> AgentOutcomes:
    agents = {agent.identity: seed for seed, agent in enumerate(group)} if group[0].steps is None else {}
    by_recipe: dict[str, dict[int, Run]] = {BASELINE: {}}
    states: Counter[str] = Counter()
    for agent in group:
        for name in (runtime, ""):
            states.update(study.states.get((agent.identity, name), {}))
        agents.setdefault(agent.identity, agent.seed)
    for run in study.runs:
        if run.agent.identity in agents and run.runtime == runtime:
            by_recipe.setdefault(run.recipe, {})[agents[run.agent.identity]] = run
    first = group[0]
    random = study.random.get(first.environment_id, ())
    baselines = returns_by_seed(by_recipe[BASELINE])
    found = learned(baselines, random, references().get((first.algorithm, short_name(first.environment_id))))
    outcomes = [_outcome(study, recipe, runs, by_recipe[BASELINE], random) for recipe, runs in by_recipe.items()]
    base, others = ranked(outcomes[0], outcomes[1:], known=found.verdict == "learned")
    return AgentOutcomes(
        name="".join(c if c.isalnum() or c in "._-" else "-" for c in f"{title}-{runtime}"),
        title=title,
        algorithm=first.algorithm,
        environment_id=first.environment_id,
        runtime=runtime,
        label=first.label,
        trained="given" if first.steps is None else first.kind,
        steps=first.steps,
        seeds=tuple(baselines),
        cells=Cells.of(states),
        baseline=base,
        random=mean_of({0: random} if random else {}, "not run yet"),
        learned=found,
        outcomes=others,
    )


def _outcome(study: StudyRuns, recipe: str, runs: BySeedRuns, own: BySeedRuns, random: tuple[float, ...]) -> Outcome:
    returns, baselines = returns_by_seed(runs), returns_by_seed(own)
    reason = reason_for(runs) if not returns else reason_for(own)
    kept = Missing("random actions were not measured")
    retention = share_of(returns, baselines, random, paired=True, reason=reason) if random else kept
    steps = next((run.steps for run in runs.values() if run.steps), ())
    base = recipe == BASELINE
    # The rule is of returns that are positive; of others it is of the score above random actions.
    ratio = keeps_90_percent(baselines, baselines) is not None
    if base and isinstance(retention, Estimate):
        retention = Estimate.whole(retention)
    return Outcome(
        recipe=recipe,
        family="baseline" if base else family_of(steps) if steps else "other",
        words=BASELINE_IN_WORDS if base else steps_in_words(steps),
        cells=Cells.of(Counter(run.status for run in runs.values())),
        returns=mean_of(returns, reason_for(runs)),
        retention=retention,
        keeps_90_percent=keeps_90_percent(returns, baselines) if ratio else _kept(retention),
        costs=_explained(study, runs, costs(runs, own, own, paired=True)),
        returns_by_seed=means_by_seed(returns),
    )


def _kept(retention: MaybeEstimate) -> bool | None:
    return retention.value >= LU_SHARE if isinstance(retention, Estimate) else None


def _explained(study: StudyRuns, runs: BySeedRuns, found: Mapping[str, Cost]) -> dict[str, Cost]:
    """The costs with the reason why one is missing, as far as anything says it."""
    explained = dict(found)
    for quantity, read in _OF_COSTS.items():
        cost = explained[quantity]
        if isinstance(cost.absolute, Missing):
            told = [value.reason for run in runs.values() if isinstance(value := read(run), Missing)]
            failed = [
                text
                for run in runs.values()
                if (text := study.cost_failures.get((run.agent.identity, run.recipe, run.runtime)))
            ]
            why = next((text for text in (*(f"failed: {text}" for text in failed), *told)), cost.absolute.reason)
            explained[quantity] = replace(cost, absolute=Missing(why), relative=Missing(why))
    return explained
