"""What is said of a recipe over all agents, and which recipe is the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from policypress.measurement.statistics import Missing
from policypress.report.grid.outcomes import AgentOutcomes, Outcome
from policypress.report.studies.aggregates import Floats, interval, iqm, probability_of_improvement, scores_of
from policypress.report.studies.estimates import Estimate, MaybeEstimate
from policypress.report.words import Family

_LEAST_SEEDS = 2
_NO_SEEDS = f"not every agent has {_LEAST_SEEDS} training seeds of it"
SHARES = ("packed_bytes", "latency", "peak_rss", "energy_per_action")
"""Costs that are summed up over agents."""


@dataclass(frozen=True)
class Share:
    """A cost as a share of the baseline's: the median over the agents of which a recipe keeps 90 %; None of none."""

    value: float | None
    agents: int
    modelled: bool = False


@dataclass(frozen=True)
class RecipeSummary:
    """A recipe over all agents whose baseline has learned, under one runtime.

    Attributes:
        recipe: as it is written.
        family: kind of compression.
        words: what it does.
        runtime: what acted.
        agents: of which the return kept is known.
        planned: agents that it is planned for.
        failed: agents with which every run of it that ended has failed.
        keeps: of how many agents the interval says that it keeps 95 %.
        loses: of how many the interval says that it does not.
        kept: interquartile mean of the return kept over all runs, with its interval by stratified bootstrap over
            training seeds; none where an agent has a single one: one run is no aggregate, and an aggregate that leaves
            agents out may leave out those that lose.
        lowest: return kept of the agent that keeps least, by the estimates.
        lowest_agent: its title; empty where nothing is known.
        shares: by quantity (see :data:`SHARES`).
        front: of how many agents it keeps 90 % of the return and nothing beats it in packed size and return kept.
        dominated_by: recipes that beat it in every agent that both were measured of.
    """

    recipe: str
    family: Family
    words: str
    runtime: str
    agents: int
    planned: int
    failed: int
    keeps: int
    loses: int
    kept: MaybeEstimate
    lowest: MaybeEstimate
    lowest_agent: str
    shares: dict[str, Share]
    front: int
    dominated_by: tuple[str, ...]


@dataclass(frozen=True)
class Improvement:
    """Probability that a run of ``first`` keeps more than one of ``second``, mean over agents."""

    first: str
    second: str
    runtime: str
    agents: int
    probability: MaybeEstimate


def summaries(agents: Sequence[AgentOutcomes], runtime: str) -> tuple[RecipeSummary, ...]:
    """Every recipe of a runtime, the smallest first; what has no size comes last."""
    own = [agent for agent in agents if agent.runtime == runtime]
    recipes = dict.fromkeys(one.recipe for agent in own for one in agent.outcomes)
    found = [_summary(recipe, own, runtime) for recipe in recipes]
    return tuple(sorted(found, key=_size_of))


def answer(found: Sequence[RecipeSummary]) -> RecipeSummary | None:
    """The recipe to take: that keeps 95 % in most agents, among these the smallest; None where none keeps it in any."""
    keeping = [one for one in found if one.keeps]
    return min(keeping, key=lambda one: (-one.keeps, _size_of(one)), default=None)


def improvements(agents: Sequence[AgentOutcomes], first: str, runtime: str) -> tuple[Improvement, ...]:
    """The recipe ``first`` against every other; nothing where it has a single run of some agent."""
    own = [agent for agent in agents if agent.runtime == runtime and agent.counts]
    made = []
    one = _scores(own, first)
    if len(one) < sum(agent.outcome(first) is not None for agent in own):
        return ()
    for recipe in dict.fromkeys(outcome.recipe for agent in own for outcome in agent.outcomes):
        if recipe != first:
            other = _scores(own, recipe)
            shared = [name for name in one if name in other]
            groups = ([one[name] for name in shared], [other[name] for name in shared])
            chance = interval(
                groups, lambda pair: probability_of_improvement(*pair), "no agent has two training seeds of both"
            )
            made.append(Improvement(first, recipe, runtime, len(shared), chance))
    return tuple(made)


def _summary(recipe: str, own: Sequence[AgentOutcomes], runtime: str) -> RecipeSummary:
    pairs = [(agent, one) for agent in own if (one := agent.outcome(recipe)) is not None]
    counted = [(agent, one) for agent, one in pairs if agent.counts and isinstance(one.retention, Estimate)]
    scores = list(_scores([agent for agent, _ in counted], recipe).values())
    whole = scores if len(scores) == len(counted) else []
    lowest = min(counted, key=lambda pair: _value(pair[1].retention), default=None)
    first = next((one for _, one in pairs if one.words), pairs[0][1])
    return RecipeSummary(
        recipe=recipe,
        family=first.family,
        words=first.words,
        runtime=runtime,
        agents=len(counted),
        planned=len(pairs),
        failed=sum(one.keeping == "failed" for _, one in pairs),
        keeps=sum(one.keeping == "keeps" for _, one in counted),
        loses=sum(one.keeping == "loses" for _, one in counted),
        kept=interval((whole,), lambda drawn: iqm(drawn[0]), _NO_SEEDS),
        lowest=Missing("no baseline that has learned has it measured") if lowest is None else lowest[1].retention,
        lowest_agent="" if lowest is None else lowest[0].title,
        shares={quantity: _share([one for _, one in pairs], quantity) for quantity in SHARES},
        front=sum(one.dominated_by == () and bool(one.keeps_90_percent) for _, one in counted),
        dominated_by=_always([one for _, one in counted]),
    )


def _value(known: MaybeEstimate) -> float:
    return known.value if isinstance(known, Estimate) else float("inf")


def _share(outcomes: Sequence[Outcome], quantity: str) -> Share:
    """A saving counts where the return is kept; the size of a policy is what it is, whatever it returns."""
    chosen = [one for one in outcomes if one.keeps_90_percent or quantity == "packed_bytes"]
    known = [(one, share) for one in chosen if (share := one.share_of(quantity)) is not None]
    modelled = any(one.cost(quantity).source == "modelled" for one, _ in known)
    return Share(median(share for _, share in known) if known else None, len(known), modelled)


def _size_of(one: RecipeSummary) -> float:
    share = one.shares["packed_bytes"].value
    return float("inf") if share is None else share


def _always(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    beaten = [one.dominated_by for one in outcomes if one.dominated_by is not None]
    return tuple(name for name in beaten[0] if all(name in other for other in beaten)) if beaten else ()


def _scores(agents: Sequence[AgentOutcomes], recipe: str) -> dict[str, Floats]:
    """Agent → score of each seed, in units of the mean baseline; only with several seeds."""
    found = {}
    for agent in agents:
        one, base, floor = agent.outcome(recipe), agent.baseline.returns, agent.random
        if one is None or not isinstance(base, Estimate) or not isinstance(floor, Estimate):
            continue
        if len(one.returns_by_seed) >= _LEAST_SEEDS and agent.counts:
            own, bases = one.returns_by_seed.values(), agent.baseline.returns_by_seed.values()
            found[agent.name] = scores_of(own, bases, floor.value)
    return found
