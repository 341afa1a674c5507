"""Recipes that are none of the paper's have a table of their own."""

from __future__ import annotations

from dataclasses import replace

from synthetic_study_report import make_report

from policypress_lu2024.cells.own_recipes import own_recipes

RECIPES = ("equalize > int8", "prune(obs, 0.5) > refit")
REPORT = make_report(algorithms=("ppo", "sac"), environments=("Hopper", "Ant"), own=RECIPES)


def test_a_line_for_each_combination_and_recipe() -> None:
    (grid,) = own_recipes(REPORT)
    lines = [line for _, group in grid.groups for line in group]
    assert [(line.algorithm, line.environment, line.title) for line in lines] == [
        (algorithm, environment, recipe)
        for algorithm in ("ppo", "sac")
        for environment in ("Hopper", "Ant")
        for recipe in RECIPES
    ]
    first = lines[0].cells
    assert [cell.heading for cell in first] == ["return", "return kept", "packed size"]
    assert first[0].detail.endswith("3 runs")
    assert first[1].text.endswith(" %")
    assert first[2].detail.endswith("smaller")


def test_what_was_not_run_says_so() -> None:
    (grid,) = own_recipes(REPORT)
    last = grid.groups[-1][1][-1]
    assert [(cell.text, cell.reason) for cell in last.cells] == [("–", "not measured")] * 3


def test_the_papers_recipes_are_in_its_own_tables() -> None:
    assert own_recipes(make_report(algorithms=("ppo",), environments=("Hopper", "Ant"))) == ()


def test_sizes_need_no_baseline_to_be_shown() -> None:
    bare = tuple(replace(c, baseline_costs={}) for c in REPORT.combinations)
    (grid,) = own_recipes(replace(REPORT, combinations=bare))
    cell = grid.groups[0][1][0].cells[2]
    assert (cell.text.endswith("kB"), cell.detail) == (True, "")
