"""Figures have a panel for all there is, and none for what there is not."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from synthetic_study_report import make_report

from policypress.report.drawing.figure import StudyFigure
from policypress.report.studies.estimates import NOT_MEASURED
from policypress.report.studies.wording import unit_value
from policypress_lu2024.cells.methods import look
from policypress_lu2024.figures.aggregate_charts import interquartile_means
from policypress_lu2024.figures.cost_charts import cost_figure, missing_words
from policypress_lu2024.figures.drawn import NAMES, study_figures
from policypress_lu2024.figures.return_charts import pruning_returns, quantization_returns
from policypress_lu2024.study_report import StudyReport

ALGORITHMS, ENVIRONMENTS = ("ppo", "sac"), ("Hopper", "Ant")


@cache
def report(**options: Any) -> StudyReport:
    return make_report(algorithms=ALGORITHMS, environments=ENVIRONMENTS, **options)


def rows(figure: StudyFigure) -> list[dict[str, Any]]:
    return [row for panel in figure.panels for part in panel.spec["datasets"].values() for row in part]


def test_there_is_a_figure_for_everything_that_was_measured() -> None:
    assert tuple(figure.name for figure in study_figures(report())) == NAMES
    assert [f.name for f in study_figures(report(costs=False, runs=1))] == ["quantization-returns", "pruning-returns"]
    assert study_figures(report(empty=True)) == ()


def test_pruning_has_a_panel_for_each_combination_with_pruned_agents() -> None:
    figure = pruning_returns(report())
    assert figure is not None
    assert [panel.title for panel in figure.panels] == ["PPO Hopper", "PPO Ant", "SAC Hopper"]
    assert figure.panels[1].belongs == {"algorithm": "ppo", "environment": "Ant", "runtime": "onnxruntime"}
    assert "1 of 4 combinations" in figure.meaning
    ratios = {row["ratio"] for row in rows(figure) if row.get("ratio")}
    assert len(ratios) == 14


def test_baselines_that_have_not_learned_are_marked() -> None:
    made = report()
    figure = pruning_returns(made)
    assert figure is not None
    standing = [c.learned.verdict for c in made.combinations][: len(figure.panels)]
    assert [panel.note for panel in figure.panels] == ["" if s == "learned" else s for s in standing]


def test_quantization_shows_the_papers_numbers_beside_ours() -> None:
    figure = quantization_returns(report())
    assert figure is not None
    assert [panel.belongs["environment"] for panel in figure.panels] == list(ENVIRONMENTS)
    for panel in figure.panels:
        own = [row for part in panel.spec["datasets"].values() for row in part if "ours" in row]
        assert {row["ours"] for row in own} == {True, False}
        assert all(-0.1 <= row["at"] <= 1.5 for row in own)


def test_each_runtime_has_panels_of_its_own() -> None:
    figure = quantization_returns(report(runtimes=("onnxruntime", "native"), costs=False, runs=1))
    assert figure is not None
    assert [panel.title for panel in figure.panels] == [
        f"{environment}, {runtime}" for runtime in ("onnxruntime", "native") for environment in ENVIRONMENTS
    ]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_costs_say_what_is_modelled_and_have_a_panel_for_each_quantity(number: int) -> None:
    figure = cost_figure(report(), number)
    assert figure is not None
    assert [panel.title for panel in figure.panels] == [
        "inference time",
        "energy of an action",
        "energy of an episode",
        "memory",
        "size of the policy",
    ]
    assert "Modelled from CPU time, not measured: energy of an action, energy of an episode." in figure.meaning
    assert figure.methods == {1: ("ptdq", "ptsq", "qat"), 2: ("l1",), 3: ("l2",)}[number]


def test_a_figure_without_numbers_says_why() -> None:
    made = report(costs=False, runs=1)
    assert cost_figure(made, 2) is None
    assert "the study file asks for no costs" in missing_words(made, 2)


def test_aggregates_without_numbers_are_not_drawn() -> None:
    assert interquartile_means(report(costs=False, runs=1)) is None
    figure = interquartile_means(report())
    assert figure is not None
    assert {row["at"] for row in rows(figure) if row.get("method") == "ptdq"} == {0.97}


def test_files_are_real_svg_and_png_with_title_and_legend() -> None:
    figure = interquartile_means(report())
    assert figure is not None
    svg = figure.svg()
    root = ElementTree.fromstring(svg)
    said = {"".join(element.itertext()) for element in root.iter() if element.tag.endswith("}text")}
    assert figure.title in said
    assert {look(method).label for method in figure.methods} <= said
    png = figure.png(svg)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    assert (round(width / 2), round(height / 2)) == (int(root.attrib["width"]), int(root.attrib["height"]))


def test_unknown_costs_are_not_drawn() -> None:
    made = report()
    first = made.series[0]
    unknown = tuple(replace(point, relative=NOT_MEASURED) for point in first.points)
    figure = cost_figure(replace(made, series=(replace(first, points=unknown), *made.series[1:])), 1)
    assert figure is not None
    assert [panel.title for panel in figure.panels] == [
        "energy of an action",
        "energy of an episode",
        "memory",
        "size of the policy",
    ]


def test_costs_have_units() -> None:
    assert [unit_value(5.4e7, "B"), unit_value(7e-6, "s"), unit_value(1200.0, "")] == ["54.0 MB", "7.00 µs", "1,200"]
