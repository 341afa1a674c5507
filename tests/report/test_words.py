"""Sentences say what was shown, and no more."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from policypress.report import words
from policypress.report.costs import Energy
from policypress.report.results import Results

Read = Callable[..., Results]


def test_the_winner_is_named_with_its_interval_and_not_certified(read: Read) -> None:
    results = read()
    text = " ".join(words.lead(results))
    assert words.title(results) == "DQN on Synthetic-v0"
    assert words.headline(results) == "3.6× smaller, return kept"
    assert "“equalize > int8” takes 1.1 kB instead of 4.0 kB" in text
    assert "95 % interval" in text
    assert "Of 4 recipes, 1 surely keeps at least 95 %, 1 loses more, 1 is too close to tell and 1 failed." in text
    assert "flatters" in words.caution(results)[0]
    assert "12 episodes" in words.caution(results)[1]
    assert "22 %" in words.caution(results)[1]  # 1 - 0.05 ** (1 / 12)


def test_without_a_winner_nothing_is_claimed(read: Read) -> None:
    results = read(recipes=("none", "ptdq"))
    assert words.headline(results) == "no recipe surely keeps the return"
    assert "more episodes" in " ".join(words.lead(results))


def test_a_baseline_that_has_learned_nothing_is_said(read: Read) -> None:
    results = read(means={"random": 100.0, "none": 100.0, "ptdq": 90.0}, recipes=("none", "ptdq"))
    assert "nothing that could be kept" in " ".join(words.lead(results))


def test_without_episodes_only_the_action_error_is_claimed(read: Read) -> None:
    results = read(episodes=0)
    assert words.headline(results) == "compressed, return not measured"
    assert "not known" in " ".join(words.lead(results))
    assert "No episodes were played" in words.protocol_in_words(results)[0]


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [
        ("none", "reference"),
        ("ptdq", "unclear"),
        ("equalize > int8", "keeps"),
        ("prune(l2, 0.5)", "loses"),
        ("ptsq", "failed"),
    ],
)
def test_verdicts(read: Read, recipe: str, kind: str) -> None:
    row = read().row(recipe)
    assert row is not None
    assert words.verdict(row).kind == kind


def test_recipes_are_explained(read: Read) -> None:
    results = read()
    told = {row.name: words.recipe_in_words(row) for row in results.rows}
    assert told["prune(l2, 0.5)"] == "removes the 50 % of the channels with the smallest L2 norm"
    assert "balances" in told["equalize > int8"]


def test_a_step_is_told_with_its_parameters_and_what_is_no_method_by_its_name() -> None:
    assert words.steps_in_words([{"step": "gptq", "bits": 4}]).startswith("4-bit weights")
    assert words.steps_in_words([{"step": "rtn", "bits": 3, "activations": 6}]).endswith(
        "6-bit activations, float output"
    )
    assert words.steps_in_words([{"step": "prune"}]) == "removes channels"
    assert words.steps_in_words([{"step": "of_another_version"}]) == "of_another_version"
    assert words.family_of([{"step": "of_another_version"}]) == "other"


def test_modelled_joules_say_so_and_why(read: Read) -> None:
    energy = read().baseline.costs.energy
    assert isinstance(energy, Energy)
    text = words.energy_in_words(energy)
    assert "modelled, not measured" in text
    assert "12 W (a table)" in text
    assert "rapl: no counters" in text


def test_costs_that_are_absent_are_said_to_be(read: Read) -> None:
    assert words.costs_in_words(read(with_costs=False)) == [
        "Latency: not measured.",
        "Peak memory: not measured.",
        "Energy: not measured.",
    ]


def test_the_machine_is_told_from_what_is_known() -> None:
    assert words.machine_in_words({}) == "unknown processor"
    text = words.machine_in_words({"cpu": "X", "cores_logical": 4, "virtual_machine": True, "memory_bytes": 16e9})
    assert text == "X, 4 cores of a virtual machine, 16 GB of memory"
