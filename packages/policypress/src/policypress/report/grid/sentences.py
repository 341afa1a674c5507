"""The answer in sentences; they claim no more than the numbers carry."""

from __future__ import annotations

from policypress.measurement.statistics import Missing
from policypress.report.costs import SHORT_RUNTIMES
from policypress.report.grid.outcomes import AgentOutcomes, Outcome
from policypress.report.grid.report import GridReport
from policypress.report.grid.summary import RecipeSummary, Share
from policypress.report.quantities import percent
from policypress.report.results import KEEP
from policypress.report.studies.estimates import Estimate
from policypress.report.studies.wording import listed

_COSTS = {"latency": "time of an action", "energy_per_action": "energy of an action", "peak_rss": "peak memory"}
_MANY = 3


def runtime_name(runtime: str) -> str:
    """A runtime as people write it."""
    return SHORT_RUNTIMES.get(runtime, runtime)


def headline(report: GridReport) -> str:
    """The title of the page: which recipe to take, or why none can be named."""
    runtime = _first(report)
    if runtime is None:
        return "Nothing has been measured yet"
    best, counted = report.answer(runtime), _counted(report, runtime)
    if not counted:
        return "No agent is known to have learned, so that nothing can be said of what it keeps"
    if best is None:
        of_one = f"of {counted[0].title}’s return" if len(counted) == 1 else "of the return in any agent"
        return f"No recipe is known to keep {percent(KEEP, 0)} {of_one}"
    size = _at_size(best.shares["packed_bytes"])
    if len(counted) == 1:
        return f"{best.recipe} keeps {_interval(best.lowest)} of {counted[0].title}’s return{size}"
    of = f"{best.agents} agents" + ("" if best.agents == len(counted) else " that it was measured with")
    if best.keeps == best.agents:
        where = f"all {of}" if best.agents > 1 else f"the one agent that it was measured with, of {len(counted)}"
        return f"{best.recipe} keeps {percent(KEEP, 0)} of the return in {where}{size}"
    return (
        f"No recipe is known to keep {percent(KEEP, 0)} of the return in every agent; "
        f"{best.recipe} does in {best.keeps} of {of}{size}"
    )


def sentences(report: GridReport) -> list[str]:
    """What stands below the title: how sure it is, what it saves, what beats what, and what it is of."""
    runtime = _first(report)
    if runtime is None:
        return [_coverage(report)]
    found = [_how_sure(report, runtime), _savings(report, runtime), _front(report, runtime), _others(report, runtime)]
    return [*(sentence for sentence in found if sentence), _coverage(report)]


def unlearned(report: GridReport) -> list[str]:
    """Every agent whose baseline has not learned, or is not known to have, with the reason."""
    told = [
        f"{agent.title}: {agent.learned.verdict}; {agent.learned.reason}"
        for agent in report.agents
        if isinstance(agent.baseline.returns, Estimate) and not agent.counts
    ]
    return list(dict.fromkeys(told))


def _first(report: GridReport) -> str | None:
    """The runtime that has most to say: the first under which returns are known."""
    for runtime in report.runtimes:
        if any(isinstance(agent.baseline.returns, Estimate) for agent in report.agents_of(runtime)):
            return runtime
    return None


def _counted(report: GridReport, runtime: str) -> list[AgentOutcomes]:
    return [agent for agent in report.agents_of(runtime) if agent.counts]


def _under(report: GridReport, runtime: str) -> str:
    return f" under {runtime_name(runtime)}" if len(report.runtimes) > 1 else ""


def _interval(known: Estimate | Missing) -> str:
    if isinstance(known, Missing):
        return "an unknown share"
    if known.lower is None or known.upper is None or known.lower == known.upper:
        return percent(known.value)
    return f"{percent(known.value)} ({100 * known.lower:.1f} to {100 * known.upper:.1f})"


def _at_size(share: Share) -> str:
    return "" if share.value is None else f", at {percent(share.value, 0)} of the size"


def _how_sure(report: GridReport, runtime: str) -> str:
    best = report.answer(runtime)
    if best is None:
        return ""
    parts = []
    if isinstance(best.kept, Estimate):
        parts.append(f"Over {best.kept.runs} runs its interquartile mean of the return kept is {_interval(best.kept)}")
    if len(_counted(report, runtime)) > 1:
        parts.append(f"the agent that keeps least, {best.lowest_agent}, keeps {_interval(best.lowest)}")
    if best.keeps < best.agents:
        rest = best.agents - best.keeps - best.loses
        lost = f"in {best.loses} it keeps less than {percent(KEEP, 0)}"
        told = ((f"in {rest} it is too close to tell", rest), (lost, best.loses))
        parts.append(listed([word for word, count in told if count]))
    text = "; ".join(parts)
    text = f"{text[:1].upper()}{text[1:]}{_under(report, runtime)}. " if text else ""
    return (
        f"{text}It was chosen on these same episodes, and no certificate stands behind it: "
        "policypress compress gives one, on new episodes."
    )


def _savings(report: GridReport, runtime: str) -> str:
    """Costs of the answer, of the agents of which it keeps 90 % of the return."""
    best = report.answer(runtime)
    if best is None:
        return ""
    told = []
    for name in report.runtimes:
        one = next((other for other in report.recipes_of(name) if other.recipe == best.recipe), None)
        known = [] if one is None else [text for quantity in _COSTS if (text := _saved(one, quantity))]
        if known:
            told.append(f"{listed(known)}{_under(report, name)}")
    if not told and any(one.shares[name].value is not None for one in report.recipes for name in _COSTS):
        return "Its latency, memory and energy are not measured where it keeps 90 % of the return."
    if not told:
        return "Latency, memory and energy are not measured: a study measures them where its file says “costs: true”."
    return f"As a share of fp32’s it takes {'; '.join(told)} (median over agents of which it keeps 90 % of the return)."


def _saved(one: RecipeSummary, quantity: str) -> str:
    share = one.shares[quantity]
    if share.value is None:
        return ""
    return f"{percent(share.value, 0)} of the {_COSTS[quantity]}{' (modelled)' if share.modelled else ''}"


def _front(report: GridReport, runtime: str) -> str:
    counted = len(_counted(report, runtime))
    found = sorted((one for one in report.recipes_of(runtime) if one.front), key=lambda one: -one.front)
    if not found or not counted:
        return ""
    if counted == 1:
        names = listed([one.recipe for one in found[:_MANY]])
        more = f", and {len(found) - _MANY} more" if len(found) > _MANY else ""
        return f"Nothing beats {names}{more} in both size and return."
    told = listed([f"{one.recipe} (in {one.front} of {one.agents})" for one in found[:_MANY]])
    return f"On the Pareto front of size and return are most often {told}."


def _others(report: GridReport, runtime: str) -> str:
    """What is beaten in every agent."""
    beaten = [one for one in report.recipes_of(runtime) if one.dominated_by and one.agents]
    if not beaten:
        return ""
    told = [f"{one.recipe} (by {_by(one.dominated_by)})" for one in beaten[:_MANY]]
    more = f", and {len(beaten) - _MANY} more" if len(beaten) > _MANY else ""
    every = " in every agent" if len(_counted(report, runtime)) > 1 else ""
    return f"Beaten in both size and return{every}: {', '.join(told)}{more}."


def _by(names: tuple[str, ...]) -> str:
    real = [name for name in names if name != "none"]
    return real[0] if real else "fp32 itself"


def _coverage(report: GridReport) -> str:
    agents = {agent.title: agent for agent in report.agents}
    if not agents:
        return "The database has no agent yet: run the study, then write this report again."
    recipes = len(dict.fromkeys(one.recipe for agent in report.agents for one in agent.outcomes))
    runs = sum(max(len(agent.seeds), 1) for agent in agents.values())
    seeds = f" ({runs} training seeds)" if runs > len(agents) else ""
    cells = report.cells
    left = f", {cells.left:,} left" if cells.left else ""
    failed = f", {cells.failed:,} failed" if cells.failed else ""
    return (
        f"{_count(len(agents), 'agent')}{seeds}, {_count(recipes, 'recipe')}, "
        f"{_count(len(report.runtimes), 'runtime')}: {cells.done:,} of {cells.total:,} cells are done{failed}{left}."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def outcome_title(one: Outcome) -> str:
    """A recipe's name in tables and figures."""
    return "none (fp32)" if one.recipe == "none" else one.recipe
