"""Every figure of a study's report that there are numbers for, in the order of the page."""

from __future__ import annotations

from policypress.report.drawing.figure import StudyFigure
from policypress_lu2024.figures.aggregate_charts import aggregate_figures
from policypress_lu2024.figures.cost_charts import cost_figure
from policypress_lu2024.figures.return_charts import pruning_returns, quantization_returns
from policypress_lu2024.study_report import StudyReport

COST_FIGURES = ("figure-1", "figure-2", "figure-3")
AGGREGATE_FIGURES = ("interquartile-means", "performance-profiles", "probability-of-improvement")
NAMES = ("quantization-returns", "pruning-returns", *COST_FIGURES, *AGGREGATE_FIGURES)
"""Names of all figures that there may be."""


def study_figures(report: StudyReport) -> tuple[StudyFigure, ...]:
    """The figures that ``report`` has numbers for."""
    made = [quantization_returns(report), pruning_returns(report), *(cost_figure(report, n) for n in (1, 2, 3))]
    return (*(figure for figure in made if figure is not None), *aggregate_figures(report))
