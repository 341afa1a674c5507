"""``report.html``: one self-contained page, for screens of any width, light or dark, and for print."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import vl_convert
from markupsafe import Markup

import policypress
from policypress.measurement.certificate.certifying import Certificate
from policypress.measurement.certificate.words import falls_in_words
from policypress.measurement.statistics import Interval, Missing
from policypress.report import search_words, words
from policypress.report.costs import SHORT_RUNTIMES, Costs, Energy, Latency, Memory
from policypress.report.figures import DARK, LIGHT, Figure
from policypress.report.quantities import percent, si, size, times, with_spread
from policypress.report.recipe_results import RANDOM, RecipeResult
from policypress.report.results import KEEP, Results
from policypress.report.template import page_of
from policypress.search.history import SearchHistory
from policypress.search.robustness import Robustness
from policypress_runtime.foreign_text import plain_data

_NOTHING = "–"
_HALF = ("memory", "energy")
# The widest retention that the little bars of the table show.
_BAR_END = 1.1


@dataclass(frozen=True)
class Tile:
    """One number of the headline; ``note`` says what it is compared with, or where it comes from."""

    label: str
    value: str
    note: str


def render(results: Results, figures: Sequence[Figure], deploying: Sequence[str] = ()) -> str:
    """The page. Text from the agent's files is escaped, and the page may load nothing from anywhere.

    Args:
        results: to show.
        figures: of them.
        deploying: what one types in this folder to deploy the winner.
    """
    return page_of(
        "page.html.j2",
        results=results,
        words=words,
        version=policypress.__version__,
        date=results.finished_at[:10],
        tiles=tiles(results),
        deploying=deploying,
        table=[_compared(row, results) for row in results.shown],
        search=None if results.search is None else search_section(results, results.search),
        robustness=None if results.robustness is None else robustness_table(results.robustness),
        linked=[(words.display_name(row), row.file) for row in results.rows if row.file is not None],
        played=any(row.returns for row in results.rows),
        threshold=_position(KEEP),
        costs=cost_table(results.shown, measured_only=results.search is not None),
        figures=[
            {"figure": figure, "static": _data_uri(figure.svg()), "half": figure.name in _HALF} for figure in figures
        ],
        charts={"specs": {f.name: plain_data(f.spec) for f in figures}, "light": LIGHT, "dark": DARK},
        library=Markup(_library() if figures else ""),
    )


@cache
def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def tiles(results: Results) -> list[Tile]:
    """The winner in a few numbers; none where nothing won."""
    winner, base = results.winner, results.baseline
    if winner is None or winner.artifact is None or base.artifact is None:
        return []
    before, after = base.artifact.packed_bytes, winner.artifact.packed_bytes
    shown = [Tile("Packed size", size(after), f"{times(before / after)} smaller than {size(before)}")]
    kept = winner.retention
    certificate = None if results.search is None else results.search.certificate
    if certificate is not None and certificate.lower is not None and certificate.retention is not None:
        note = f"certified; {percent(certificate.retention)} in {certificate.episodes} held-out episodes"
        shown.append(Tile("Return kept, at least", percent(certificate.lower), note))
    elif isinstance(kept, Interval):
        shown.append(Tile("Return kept", percent(kept.estimate), f"{percent(kept.lower)} to {percent(kept.upper)}"))
    if isinstance(winner.costs.latency, Latency):
        note = "median, warm"
        if isinstance(base.costs.latency, Latency):
            note = f"fp32: {si(base.costs.latency.warm_s['p50'], 's')} ({_acting(base.costs.latency)}median, warm)"
        shown.append(Tile("Latency", si(winner.costs.latency.warm_s["p50"], "s"), note))
    if isinstance(winner.costs.energy, Energy):
        energy = winner.costs.energy
        shown.append(Tile("Energy of an action", si(energy.per_action_j, "J"), energy.source))
    return shown


def _acting(latency: Latency) -> str:
    return f"{SHORT_RUNTIMES[latency.runtime]}, " if latency.runtime in SHORT_RUNTIMES else ""


def _compared(row: RecipeResult, results: Results) -> dict[str, Any]:
    """One line of the table of recipes."""
    base = results.baseline.artifact
    kept = row.retention
    winner = results.winner
    line: dict[str, Any] = {
        "name": words.display_name(row),
        "what": words.recipe_in_words(row),
        "verdict": words.verdict(row),
        "winner": winner is not None and row.name == winner.name,
        "failure": row.failure,
        "pending": row.status not in ("done", "failed"),
        "packed": _NOTHING,
        "smaller": "",
        "error": _NOTHING,
        "mean": _mean(row),
        "ratio": _NOTHING if isinstance(row.ratio, Missing) else percent(row.ratio.estimate),
        "kept": None,
        "undefined": kept.reason if isinstance(kept, Missing) else "",
        "file": row.file,
    }
    if row.artifact is not None:
        line["packed"] = size(row.artifact.packed_bytes)
        if base is not None and row is not results.baseline:
            line["smaller"] = times(base.packed_bytes / row.artifact.packed_bytes) + " smaller"
            error = row.artifact.action_error
            line["error"] = _NOTHING if error is None else percent(error, 2)
    if row is results.baseline or row.name == RANDOM:
        line["ratio"] = _NOTHING
    elif isinstance(kept, Interval):
        line["kept"] = {
            "estimate": percent(kept.estimate),
            "range": f"{percent(kept.lower)} to {percent(kept.upper)}",
            "at": _position(kept.estimate),
            "from": _position(kept.lower),
            "width": max(_position(kept.upper) - _position(kept.lower), 0.8),
        }
    return line


def search_section(results: Results, search: SearchHistory) -> dict[str, Any]:
    """How the winner was found: certificates, why it won, and what was built and never raced."""
    rest = [row for row in results.variants if not row.returns]
    return {
        "certified": search.ending == "certified",
        "funnel": search_words.funnel(search),
        "attempts": [
            {
                "recipe": attempt.recipe,
                "kind": "keeps" if attempt.certificate.certified else "loses",
                "facts": _certificate_facts(attempt.certificate),
                "verdict": attempt.certificate.verdict,
            }
            for attempt in search.attempts
        ],
        "rest": [
            {
                "name": words.display_name(row),
                "packed": _NOTHING if row.artifact is None else size(row.artifact.packed_bytes),
                "error": _NOTHING
                if row.artifact is None or row.artifact.action_error is None
                else percent(row.artifact.action_error, 2),
                "reason": "" if row.tried is None else row.tried.reason,
            }
            for row in rest
        ],
    }


def _certificate_facts(found: Certificate) -> list[tuple[str, str]]:
    """Names and values, those that are known."""
    below, above, *_ = found.outside
    limits, falls = found.limits, found.falls
    facts: list[tuple[str, str | None]] = [
        ("Lower bound of the return kept", None if found.lower is None else percent(found.lower, 2)),
        ("has to reach", percent(found.keep, 0)),
        ("measured", None if found.retention is None else percent(found.retention, 2)),
        ("held-out pairs of episodes", f"{found.episodes}, and {found.random_episodes} of random actions"),
        ("correlation with the baseline", None if found.correlation is None else f"{found.correlation:.2f}"),
        ("error allowed for this candidate", f"{found.alpha:.4g}"),
        ("an episode counts between", None if limits is None else limits.in_words()),
        ("as scores, at least", None if found.worst is None else f"{found.worst:.3f}"),
        ("episodes outside", None if limits is None else f"{below} below, {above} above"),
        ("falls", None if falls is None else falls_in_words(falls)),
    ]
    return [(name, value) for name, value in facts if value is not None]


def robustness_table(found: Robustness) -> dict[str, Any]:
    """Score of baseline and recipe under each condition, as shares of the undisturbed baseline's."""
    recipes = {row.recipe for row in found.rows}
    return {
        "episodes": found.episodes,
        "several": len(recipes) > 1,
        "lines": [
            {
                "words": row.condition.words,
                "recipe": row.recipe,
                "baseline": _share(row.baseline),
                "own": _share(row.own),
                "difference": _share(row.difference),
                "kind": search_words.disturbed_verdict(row)[0],
                "text": search_words.disturbed_verdict(row)[1],
                "reason": row.reason,
            }
            for row in found.rows
        ],
    }


def _share(value: Interval | Missing) -> dict[str, str]:
    if isinstance(value, Missing):
        return {"estimate": _NOTHING, "range": ""}
    return {"estimate": percent(value.estimate), "range": f"{percent(value.lower)} to {percent(value.upper)}"}


def _mean(row: RecipeResult) -> str:
    if not row.returns:
        return _NOTHING
    half = None if isinstance(row.mean, Missing) else (row.mean.upper - row.mean.lower) / 2
    return with_spread(sum(row.returns) / len(row.returns), half)


def _position(share: float) -> float:
    """Where a share of retention lies on the little bar, in percent of its width."""
    return round(100 * min(max(share, 0.0), _BAR_END) / _BAR_END, 1)


def cost_table(rows: Sequence[RecipeResult], *, measured_only: bool = False) -> dict[str, Any]:
    """Costs of every recipe: the columns that anything is known in, and a line for each row (with costs)."""
    shown = [
        (row, costs) for row in rows if row.artifact is not None for costs in (row.costs, *row.other_runtimes.values())
    ]
    several = len({costs.runtime for _, costs in shown} - {None}) > 1
    cells = [_cost_cells(costs, with_runtime=several) for _, costs in shown]
    headings = [heading for heading in (cells[0] if cells else {}) if any(line[heading] != _NOTHING for line in cells)]
    lines = [
        {"name": words.display_name(row), "cells": [(heading, line[heading]) for heading in headings]}
        for (row, _), line in zip(shown, cells, strict=True)
        if not measured_only or any(line[heading] != _NOTHING for heading in headings)
    ]
    return {"headings": headings, "lines": lines}


def _cost_cells(costs: Costs, *, with_runtime: bool) -> dict[str, str]:
    latency, memory, cpu, energy = costs.latency, costs.memory, costs.cpu_s_per_action, costs.energy
    cells = dict.fromkeys(_COST_HEADINGS, _NOTHING)
    if with_runtime and costs.runtime is not None:
        cells["runtime"] = SHORT_RUNTIMES.get(costs.runtime, costs.runtime)
    if isinstance(latency, Latency):
        for name in ("p50", "p95", "p99"):
            cells[name] = si(latency.warm_s[name], "s")
        if latency.cold_s is not None:
            cells["cold p50"] = si(latency.cold_s["p50"], "s")
    if isinstance(memory, Memory):
        cells["peak memory"] = size(memory.peak_rss_bytes)
    if not isinstance(cpu, Missing):
        cells["CPU per action"] = si(cpu, "s")
    if isinstance(energy, Energy):
        cells[f"energy per action, {energy.source}"] = si(energy.per_action_j, "J")
        if energy.per_episode_j is not None:
            cells[f"energy per episode, {energy.source}"] = si(energy.per_episode_j, "J")
    return cells


_COST_HEADINGS = (
    "runtime",
    "p50",
    "p95",
    "p99",
    "cold p50",
    "peak memory",
    "CPU per action",
    "energy per action, measured",
    "energy per action, modelled",
    "energy per episode, measured",
    "energy per episode, modelled",
)
