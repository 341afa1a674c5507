"""The tables of the general report as CSV, and for a paper as LaTeX."""

from __future__ import annotations

from collections.abc import Iterator

from policypress.report.grid.outcomes import AgentOutcomes, Outcome
from policypress.report.grid.report import GridReport
from policypress.report.grid.sentences import outcome_title, runtime_name
from policypress.report.grid.summary import SHARES, RecipeSummary
from policypress.report.grid.tables import COSTS
from policypress.report.results import KEEP
from policypress.report.studies import latex
from policypress.report.studies.estimates import Estimate, MaybeEstimate
from policypress.report.studies.sheets import Sheet, Value, names_of, values_of
from policypress.report.studies.wording import unit_value


def sheets(report: GridReport) -> tuple[Sheet, ...]:
    """Every agent with every recipe; recipes over all agents; and what is how likely to keep more."""
    return (_outcomes(report), _recipes(report), _improvements(report))


def latex_tables(report: GridReport) -> dict[str, str]:
    """Name → source of each table, one for each runtime where there are several."""
    found = {}
    for runtime in report.runtimes:
        ending = f"-{runtime}" if len(report.runtimes) > 1 else ""
        found[f"agents{ending}"] = _latex_of_agents(report, runtime)
        if len(report.agents_of(runtime)) > 1:
            found[f"recipes{ending}"] = _latex_of_recipes(report, runtime)
    return found


def _outcomes(report: GridReport) -> Sheet:
    quantities = tuple(report.agents[0].baseline.costs) if report.agents else ()
    costs = [name for quantity in quantities for name in (quantity, f"{quantity}_relative", f"{quantity}_source")]
    columns = (
        *("agent", "algorithm", "environment", "label", "trained", "steps", "runtime", "baseline_learned"),
        *("recipe", "family", "done", "failed", "left"),
        *names_of("return"),
        *names_of("retention"),
        *("keeping", "keeps_90_percent", "dominated_by"),
        *costs,
    )
    rows = tuple(
        (*_agent(agent), *_outcome(one), *(value for name in quantities for value in _cost(one, name)))
        for agent in report.agents
        for one in (agent.baseline, *agent.outcomes)
    )
    return Sheet("agents", columns, rows)


def _agent(agent: AgentOutcomes) -> tuple[Value, ...]:
    return (
        *(agent.title, agent.algorithm, agent.environment_id, agent.label, agent.trained, agent.steps, agent.runtime),
        agent.learned.verdict,
    )


def _outcome(one: Outcome) -> tuple[Value, ...]:
    return (
        *(one.recipe, one.family, one.cells.done, one.cells.failed, one.cells.left),
        *values_of(one.returns),
        *values_of(one.retention),
        *(one.keeping, one.keeps_90_percent, None if one.dominated_by is None else "; ".join(one.dominated_by)),
    )


def _cost(one: Outcome, quantity: str) -> Iterator[Value]:
    cost = one.cost(quantity)
    for known in (cost.absolute, cost.relative):
        yield known.value if isinstance(known, Estimate) else None
    yield cost.source


def _recipes(report: GridReport) -> Sheet:
    shares = [name for quantity in SHARES for name in (f"{quantity}_share", f"{quantity}_agents")]
    columns = (
        *("runtime", "recipe", "family", "agents", "planned", "failed", "keeps", "loses", "front", "dominated_by"),
        *names_of("kept"),
        *names_of("lowest"),
        *("lowest_agent", *shares),
    )
    rows = tuple(
        (
            *(one.runtime, one.recipe, one.family, one.agents, one.planned, one.failed),
            *(one.keeps, one.loses, one.front),
            "; ".join(one.dominated_by),
            *values_of(one.kept),
            *values_of(one.lowest),
            one.lowest_agent,
            *(value for name in SHARES for value in (one.shares[name].value, one.shares[name].agents)),
        )
        for one in report.recipes
    )
    return Sheet("recipes", columns, rows)


def _improvements(report: GridReport) -> Sheet:
    columns = ("runtime", "first", "second", "agents", *names_of("probability"))
    rows = tuple(
        (one.runtime, one.first, one.second, one.agents, *values_of(one.probability)) for one in report.improvements
    )
    return Sheet("probability-of-improvement", columns, rows)


def _latex_of_agents(report: GridReport, runtime: str) -> str:
    rows = []
    for agent in report.agents_of(runtime):
        mark = "" if agent.counts else r"$^\dagger$"
        for one in (agent.baseline, *agent.outcomes):
            costs = [_absolute(one.cost(name).absolute, unit) for name, (_, unit) in COSTS.items()]
            first = latex.escaped(agent.title) + mark if one is agent.baseline else ""
            name = latex.escaped(outcome_title(one))
            rows.append([first, name, latex.estimate(one.returns), _share(one.retention), *costs])
    headings = ("agent", "recipe", "return", "kept", *(name for name, _ in COSTS.values()))
    notes = [
        f"Every agent with every recipe, under {runtime_name(runtime)}.",
        "Means with half the width of their 95 % interval, and in parentheses the number of training seeds (of one "
        "seed the interval is over its episodes). Kept is the share of the fp32 score above random actions.",
        *_modelled(report, runtime),
        "A dagger marks a baseline that is not known to have learned.",
    ]
    return latex.tabular(headings, rows, notes)


def _latex_of_recipes(report: GridReport, runtime: str) -> str:
    rows = [
        [
            latex.escaped(one.recipe),
            f"{one.keeps} of {one.agents}",
            _share(one.kept),
            _share(one.lowest),
            *(_median(one, quantity) for quantity in SHARES),
            f"{one.front} of {one.agents}",
        ]
        for one in report.recipes_of(runtime)
    ]
    headings = ("recipe", rf"keeps {KEEP * 100:.0f}\,\%", "kept (IQM)", "lowest", *_names(), "front")
    notes = [
        f"Recipes over all agents that have learned, under {runtime_name(runtime)}; costs as shares of fp32, medians "
        "over the agents of which 90 % of the return is kept (sizes: over all).",
        *_modelled(report, runtime),
    ]
    return latex.tabular(headings, rows, notes, left=1)


def _names() -> list[str]:
    return [COSTS[quantity][0] for quantity in SHARES]


def _modelled(report: GridReport, runtime: str) -> list[str]:
    costs = [
        (quantity, one.cost(quantity).source)
        for agent in report.agents_of(runtime)
        for one in (agent.baseline, *agent.outcomes)
        for quantity in COSTS
    ]
    names = dict.fromkeys(COSTS[quantity][0] for quantity, source in costs if source == "modelled")
    return [f"Modelled from CPU time, not measured: {', '.join(names)}."] if names else []


def _share(known: MaybeEstimate) -> str:
    if not isinstance(known, Estimate):
        return latex.NOTHING
    if known.lower is None or known.upper is None:
        return rf"{100 * known.value:.1f}\,\%"
    return rf"{100 * known.value:.1f}\,\% ({100 * known.lower:.1f} to {100 * known.upper:.1f})"


def _absolute(known: MaybeEstimate, unit: str) -> str:
    return latex.escaped(unit_value(known.value, unit)) if isinstance(known, Estimate) else latex.NOTHING


def _median(one: RecipeSummary, quantity: str) -> str:
    share = one.shares[quantity].value
    return latex.NOTHING if share is None else latex.percent(share)
