"""One page that holds everything it needs: the paper's table, figures and statements beside the study's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

import policypress
from policypress.measurement.statistics import Interval, Missing
from policypress.report.quantities import percent, si, size, with_spread
from policypress.report.studies.evidence import Verdict
from policypress.report.template import page_of
from policypress_li2023.charts import Chart, form_name
from policypress_li2023.findings import EXPECTED, MARGIN, WINDOW
from policypress_li2023.memory import FormMemory, MemoryRow
from policypress_li2023.paper import TITLE
from policypress_li2023.results import FormSummary, LiResults, TaskSummary
from policypress_li2023.trainings import FORMS

_NOTHING = "–"
_CHIPS = {"holds": "keeps", "does not hold": "loses", "undecided": "unclear", "no data": ""}
_MIB = 2**20


def render(results: LiResults, charts: Sequence[Chart], commands: Sequence[str]) -> str:
    """The page as HTML. Text from files is escaped, and the page loads nothing from anywhere."""
    return page_of(
        "page.html.j2",
        package=__package__,
        results=results,
        title=TITLE,
        version=policypress.__version__,
        chips=_CHIPS,
        answer=answer(results),
        trainings=[row for task in results.tasks for row in training_rows(task)],
        memory=[memory_cells(row) for row in results.memory],
        charts=[
            {"chart": chart, "light": Markup(chart.svg()), "dark": Markup(chart.svg(dark=True))} for chart in charts
        ],
        commands=commands,
        expected=f"{EXPECTED:.0f}",
        window=WINDOW,
        margin=percent(MARGIN, 0),
    )


def answer(results: LiResults) -> str:
    """The study in a sentence: of the paper's 6 statements, 2 hold here, 1 does not hold, 3 are undecided."""
    counts = Counter(finding.study[0].verdict for finding in results.findings)
    words: dict[Verdict, tuple[str, str]] = {
        "holds": ("holds here", "hold here"),
        "does not hold": ("does not hold", "do not hold"),
        "undecided": ("is undecided", "are undecided"),
        "no data": ("has no data yet", "have no data yet"),
    }
    told = [f"{counts[verdict]} {forms[counts[verdict] > 1]}" for verdict, forms in words.items() if counts[verdict]]
    return f"Of the paper's {len(results.findings)} statements, {', '.join(told)}."


def training_rows(task: TaskSummary) -> list[Mapping[str, str]]:
    """A row of the trainings' table for each form."""
    return [_training_row(task, task.forms[form], form_name(task.algorithm, form), form == "qat") for form in FORMS]


def _training_row(task: TaskSummary, form: FormSummary, name: str, quantized: bool) -> Mapping[str, str]:
    return {
        "environment": task.environment_id,
        "name": name,
        "seeds": f"{form.done} of {form.planned}",
        "episodes": str(task.episodes) if form.done else _NOTHING,
        "last": told(form.last),
        "kept": told(task.kept, share=True) if quantized else "",
        "evaluated": told(form.evaluated),
        "steps": _NOTHING if form.steps is None else f"{form.steps:,.0f}".replace(",", " "),
        "cpu": _NOTHING if form.cpu_s is None else si(form.cpu_s, "s"),
    }


def told(value: Interval | Missing, *, share: bool = False) -> str:
    """An interval as people read it.

    >>> told(Interval(195.0, 190.0, 200.0, 0.95, "t"))
    '195.0 ± 5.0'
    """
    if isinstance(value, Missing):
        return _NOTHING
    if share:
        return f"{percent(value.estimate)} ({percent(value.lower)} … {percent(value.upper)})"
    return with_spread(value.estimate, (value.upper - value.lower) / 2)


def memory_cells(row: MemoryRow) -> Mapping[str, Any]:
    """Table 2's cells for one task."""
    return {
        "name": f"{row.environment}, {row.algorithm.upper()}",
        "printed": [_NOTHING, _NOTHING]
        if row.printed is None
        else [f"{row.printed.before:g}", f"{row.printed.after:g}"],
        "peak": [_mib(row.fp32.peak_rss_bytes), _mib(row.qat.peak_rss_bytes)],
        "runs": f"{row.fp32.runs} and {row.qat.runs}",
        "decrease": _decrease(row.decrease),
        "started": [_mib(row.fp32.started_rss_bytes), _mib(row.qat.started_rss_bytes)],
        "networks": [_part(form, "acting_bytes", "value_bytes") for form in (row.fp32, row.qat)],
        "optimizer": [_part(form, "optimizer_bytes") for form in (row.fp32, row.qat)],
        "replay": [_part(form, "replay_bytes") for form in (row.fp32, row.qat)],
        "deployed": [_size(form.deployed_bytes) for form in (row.fp32, row.qat)],
    }


def _decrease(value: Interval | Missing) -> str:
    if isinstance(value, Missing):
        return _NOTHING
    return f"{percent(value.estimate, 2)} ({percent(value.lower, 2)} … {percent(value.upper, 2)})"


def _part(form: FormMemory, *names: str) -> str:
    return _size(sum(form.parts[name] for name in names)) if form.parts else _NOTHING


def _size(value: float | None) -> str:
    return _NOTHING if value is None else size(value)


def _mib(value: float | None) -> str:
    return _NOTHING if value is None else f"{value / _MIB:.1f} MiB"
