"""What the page's tables show: recipes over all agents, and every agent with every recipe."""

from __future__ import annotations

from collections.abc import Sequence

from policypress.measurement.statistics import Missing
from policypress.report.grid.outcomes import AgentOutcomes, Outcome
from policypress.report.grid.report import GridReport
from policypress.report.grid.sentences import outcome_title, runtime_name
from policypress.report.grid.summary import RecipeSummary
from policypress.report.quantities import percent
from policypress.report.results import KEEP
from policypress.report.studies.estimates import Estimate, MaybeEstimate
from policypress.report.studies.grids import NOTHING, CellText, Grid, Line, detail
from policypress.report.studies.wording import number, unit_value

COSTS: dict[str, tuple[str, str]] = {
    "packed_bytes": ("size", "B"),
    "latency": ("time of an action", "s"),
    "peak_rss": ("peak memory", "B"),
    "energy_per_action": ("energy of an action", "J"),
}
"""Costs with a column: heading and unit."""
_NO_SHARE = "time, memory, energy: not measured where 90 % of the return is kept"
_KEEPING = {"keeps": f"keeps {percent(KEEP, 0)}", "loses": f"below {percent(KEEP, 0)}"}


def overview(report: GridReport) -> tuple[Grid, ...]:
    """A line for each recipe, over all agents; a grid for each runtime. None where there is one agent only."""
    made = []
    for runtime in report.runtimes:
        if len(report.agents_of(runtime)) > 1:
            lines = [_summary_line(one, one.recipe == report.answers[runtime]) for one in report.recipes_of(runtime)]
            if lines:
                made.append(_grid(runtime, [(("", tuple(lines)))]))
    return tuple(made)


def agent_tables(report: GridReport) -> tuple[tuple[str, tuple[tuple[AgentOutcomes, Grid], ...]], ...]:
    """Agent's title → its grid under each runtime, in which a line is a recipe."""
    titles = dict.fromkeys(agent.title for agent in report.agents)
    found = {title: [agent for agent in report.agents if agent.title == title] for title in titles}
    return tuple((title, tuple((one, _of_agent(one)) for one in agents)) for title, agents in found.items())


def coverage(report: GridReport) -> tuple[Grid, ...]:
    """What is done of each agent, under each runtime."""
    lines = []
    for title, shown in agent_tables(report):
        by_runtime = {agent.runtime: agent for agent, _ in shown}
        cells = tuple(_coverage_cell(by_runtime.get(runtime), runtime) for runtime in report.runtimes)
        lines.append(Line(title, title, "", cells))
    headings = tuple((runtime_name(runtime), "", "") for runtime in report.runtimes)
    return (Grid("", headings, (("", tuple(lines)),)),) if lines else ()


def _grid(runtime: str, groups: Sequence[tuple[str, tuple[Line, ...]]]) -> Grid:
    """The columns that some line has a number in; the first line says which there are."""
    lines = [line for _, group in groups for line in group]
    known = [any(line.cells[at].kind != "missing" for line in lines) for at in range(len(lines[0].cells))]
    kept = [at for at, there in enumerate(known) if there]
    headings = tuple((lines[0].cells[at].heading, "", "") for at in kept)
    chosen = [
        (name, tuple(_with_cells(line, tuple(line.cells[at] for at in kept)) for line in group))
        for name, group in groups
    ]
    return Grid(runtime, headings, tuple(chosen), runtime_name(runtime))


def _with_cells(line: Line, cells: tuple[CellText, ...]) -> Line:
    return Line(line.name, line.algorithm, line.environment, cells, line.learned, line.reason, line.title, line.method)


def _summary_line(one: RecipeSummary, best: bool) -> Line:
    heading = f"keeps {percent(KEEP, 0)} in"
    failed = f"failed with {one.failed} of {one.planned}" if one.failed else ""
    keeps = CellText(heading, f"{one.keeps} of {one.agents}", best=best, detail=failed)
    if not one.agents:
        reason = failed or "no agent that has learned has it measured"
        keeps = CellText(heading, "failed" if failed else NOTHING, kind="missing", detail=failed, reason=reason)
    elif one.loses:
        told = f"not in {one.loses}" + (f"; {failed}" if failed else "")
        keeps = CellText(heading, keeps.text, best=best, detail=told)
    lowest = _share("lowest agent", one.lowest)
    if one.lowest_agent:
        lowest = CellText(lowest.heading, lowest.text, detail=one.lowest_agent)
    front = CellText("on the front in", f"{one.front} of {one.agents}" if one.agents else NOTHING)
    if one.dominated_by:
        front = CellText(front.heading, front.text, detail=f"beaten by {outcome_name(one.dominated_by)}")
    cells = [keeps, _share("return kept (IQM)", one.kept), lowest]
    for quantity, (name, _) in COSTS.items():
        share = one.shares[quantity]
        if share.value is None:
            reason = "size: not known" if quantity == "packed_bytes" else _NO_SHARE
            cells.append(CellText(name, NOTHING, kind="missing", reason=reason))
        else:
            agents = f"{share.agents} agent{'' if share.agents == 1 else 's'}"
            note = "modelled" if share.modelled else ""
            cells.append(CellText(name, percent(share.value, 0), detail=agents, note=note))
    return Line(one.recipe, "", "", (*cells, front), title=one.words, method=one.family)


def outcome_name(names: Sequence[str]) -> str:
    """What beats something, for people: the first of the recipes, before fp32."""
    real = [name for name in names if name != "none"]
    return real[0] if real else "fp32 itself"


def _of_agent(agent: AgentOutcomes) -> Grid:
    lines = tuple(_outcome_line(agent, one) for one in (agent.baseline, *_by_size(agent.outcomes)))
    return _grid(agent.runtime, [("", lines)])


def _by_size(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return sorted(outcomes, key=lambda one: value_of(one.cost("packed_bytes").absolute))


def value_of(known: MaybeEstimate) -> float:
    """An estimate's value, infinity where there is none: it comes last."""
    return known.value if isinstance(known, Estimate) else float("inf")


def _outcome_line(agent: AgentOutcomes, one: Outcome) -> Line:
    base = one.recipe == "none"
    cells = [_kept(one, base), _returns(one)]
    for quantity, (name, unit) in COSTS.items():
        cost = one.cost(quantity)
        if isinstance(cost.absolute, Missing):
            cells.append(CellText(name, NOTHING, kind="missing", reason=cost.absolute.reason))
            continue
        share = one.share_of(quantity)
        cells.append(
            CellText(
                name,
                unit_value(cost.absolute.value, unit),
                detail="" if share is None or base else f"{percent(share, 0)} of fp32",
                note="modelled" if cost.source == "modelled" else "",
            )
        )
    if agent.counts:
        cells.append(_front(one))
    return Line(outcome_title(one), "", "", tuple(cells), title=one.words, method=one.family)


def _kept(one: Outcome, base: bool) -> CellText:
    if base:
        return CellText("return kept", "100 %", detail="the baseline")
    return _share("return kept", one.retention, note=_KEEPING.get(one.keeping, "") if one.keeping == "loses" else "")


def _share(heading: str, known: MaybeEstimate, note: str = "") -> CellText:
    if isinstance(known, Missing):
        return CellText(heading, NOTHING, kind="missing", reason=known.reason)
    runs = "1 run" if known.runs == 1 else f"{known.runs} runs"
    between = runs
    if known.lower is not None and known.upper is not None:
        between = f"{100 * known.lower:.1f} to {percent(known.upper)} · {runs}"
    return CellText(heading, percent(known.value), detail=between, note=note)


def _returns(one: Outcome) -> CellText:
    if isinstance(one.returns, Missing):
        return CellText("return", NOTHING, kind="missing", reason=one.returns.reason)
    return CellText("return", number(one.returns.value), detail=detail(one.returns))


def _front(one: Outcome) -> CellText:
    if one.dominated_by is None:
        return CellText("size and return", NOTHING, kind="missing", reason="size or return is not known")
    if not one.dominated_by:
        return CellText("size and return", "on the front", best=bool(one.keeps_90_percent))
    return CellText("size and return", "beaten", detail=f"by {outcome_name(one.dominated_by)}")


def _coverage_cell(agent: AgentOutcomes | None, runtime: str) -> CellText:
    if agent is None:
        return CellText(runtime_name(runtime), NOTHING, kind="missing", reason="not in the study")
    cells = agent.cells
    failed = f", {cells.failed} failed" if cells.failed else ""
    seeds = "" if agent.steps is None else f"{len(agent.seeds)} seed{'' if len(agent.seeds) == 1 else 's'}, "
    note = "" if agent.counts or not agent.seeds else agent.learned.verdict.replace("not known", "learning not known")
    return CellText(
        runtime_name(runtime),
        f"{seeds}{cells.done} of {cells.total} cells{failed}",
        note=note,
        part=cells.done / cells.total if cells.total else None,
    )
