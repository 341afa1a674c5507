"""``report.html`` of a study: one page that holds everything it shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from policypress.report.drawing.figure import StudyFigure, on_page
from policypress.report.grid import sentences, tables
from policypress.report.grid.charts import NAMES, PALETTE
from policypress.report.grid.report import GridReport
from policypress.report.quantities import percent
from policypress.report.results import KEEP
from policypress.report.studies.estimates import Estimate
from policypress.report.studies.grids import reasons
from policypress.report.template import page_of

_OPEN_AGENTS = 3
"""So many agents' tables are open; of more only the first is."""
_MOST_FILTERED = 12
"""Of more agents there is no filter: its list would be longer than the page."""

_TILES = {"packed_bytes": "Size", "latency": "Time of an action", "energy_per_action": "Energy of an action"}


def render(report: GridReport, figures: Sequence[StudyFigure], files: Sequence[str] = ()) -> str:
    """The page. What comes from the study's file and database is text in it, never markup; it loads nothing.

    Args:
        report: what the study found.
        figures: that there are.
        files: further files beside the page, relative to it; the page names them.
    """
    agents = tables.agent_tables(report)
    return page_of(
        "page.html.j2",
        package=__package__,
        report=report,
        headline=sentences.headline(report),
        sentences=sentences.sentences(report),
        tiles=tiles(report),
        palette=PALETTE.css(),
        filters=filters(report),
        overview=tables.overview(report),
        agents=agents,
        agents_open=len(agents) <= _OPEN_AGENTS,
        best_of=best_of,
        coverage=tables.coverage(report),
        unlearned=sentences.unlearned(report),
        unaggregated=unaggregated(report),
        figures={figure.name: on_page(figure) for figure in figures},
        aggregate_figures=NAMES[1:],
        several=len(report.runtimes) > 1,
        keep=percent(KEEP, 0),
        reasons=reasons,
        runtime_name=sentences.runtime_name,
        files=files,
    )


def filters(report: GridReport) -> list[dict[str, Any]]:
    """What may be chosen: agents, environments, kinds of recipe and runtimes; only where there is a choice."""
    families = PALETTE.ordered(one.family for one in report.recipes)
    agents = dict.fromkeys(agent.title for agent in report.agents)
    environments = dict.fromkeys(agent.environment_id for agent in report.agents)
    groups: list[tuple[str, str, list[tuple[str, str, str]]]] = [
        ("algorithm", "Agents", [(title, title, "") for title in agents if len(agents) <= _MOST_FILTERED]),
        ("environment", "Environments", [(name, name, "") for name in environments]),
        ("method", "Recipes", [(name, PALETTE.look(name).label, PALETTE.look(name).token) for name in families]),
        ("runtime", "Runtimes", [(name, sentences.runtime_name(name), "") for name in report.runtimes]),
    ]
    return [{"name": name, "title": title, "values": values} for name, title, values in groups if len(values) > 1]


def tiles(report: GridReport) -> list[tuple[str, str, str]]:
    """The answer in a few numbers: label, value, note. None before there is one."""
    runtime = next((name for name in report.runtimes if report.answers.get(name)), None)
    best = None if runtime is None else report.answer(runtime)
    if best is None:
        return []
    note = best.recipe
    shown = []
    if isinstance(best.kept, Estimate):
        shown.append(("Return kept (IQM)", percent(best.kept.value), note))
    elif isinstance(best.lowest, Estimate):
        shown.append(
            ("Return kept, lowest agent" if best.agents > 1 else "Return kept", percent(best.lowest.value), note)
        )
    for quantity, label in (
        ("packed_bytes", "Size"),
        ("latency", "Time of an action"),
        ("energy_per_action", "Energy"),
    ):
        share = best.shares[quantity]
        if share.value is not None:
            modelled = ", modelled" if share.modelled else ""
            shown.append((label, percent(share.value, 0), f"of fp32’s{modelled}"))
    if best.agents > 1:
        shown.append((f"Keeps {percent(KEEP, 0)} in", f"{best.keeps} of {best.agents}", "agents that have learned"))
    return shown


def best_of(report: GridReport, title: str) -> str:
    """What stands beside a folded agent: the smallest recipe that keeps enough of it."""
    for agent in report.agents:
        if agent.title == title and agent.counts:
            keeping = [one for one in agent.outcomes if one.keeping == "keeps"]
            if keeping:
                best = min(keeping, key=lambda one: tables.value_of(one.cost("packed_bytes").absolute))
                share = best.share_of("packed_bytes")
                size = "" if share is None else f", {percent(share, 0)} of the size"
                return f"smallest that keeps {percent(KEEP, 0)}: {best.recipe}{size}"
            return f"no recipe is known to keep {percent(KEEP, 0)}"
    return "not known to have learned"


def unaggregated(report: GridReport) -> str:
    """Why nothing is aggregated over agents; empty where something is, or there is nothing to aggregate."""
    if any(isinstance(one.kept, Estimate) for one in report.recipes):
        return ""
    found = [one.kept.reason for one in report.recipes if not isinstance(one.kept, Estimate)]
    return found[0] if found else ""
