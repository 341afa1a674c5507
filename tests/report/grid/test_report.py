"""What the general report says of chosen numbers: shares, costs, dominance, the answer, aggregates, what is missing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from chosen_study import GIVEN, RECIPES, TRAINED, Made

from policypress.measurement.statistics import Missing
from policypress.report.grid.dominance import dominators
from policypress.report.grid.outcomes import AgentOutcomes, Outcome
from policypress.report.grid.report import GridReport
from policypress.report.grid.sentences import headline, sentences
from policypress.report.studies.estimates import Estimate

Read = Callable[..., GridReport]


def agent(report: GridReport, title: str) -> AgentOutcomes:
    return next(one for one in report.agents if one.title == title)


def outcome(report: GridReport, recipe: str, title: str = "PPO Hopper-v4") -> Outcome:
    found = agent(report, title).outcome(recipe)
    assert found is not None
    return found


def test_seeds_of_a_training_are_one_agent_and_given_ones_are_their_own(read: Read) -> None:
    report = read(given=2)
    assert [one.title for one in report.agents] == [
        "PPO Hopper-v4",
        "SAC Pendulum-v1, arm-0.zip",
        "SAC Pendulum-v1, arm-1.zip",
    ]
    ppo = agent(report, "PPO Hopper-v4")
    assert (ppo.seeds, ppo.trained, ppo.steps, ppo.label) == ((0, 1, 2), "plain", 1000, "ours")
    assert (report.agents[1].seeds, report.agents[1].trained) == ((0,), "given")


def test_what_is_kept_is_of_the_agent_s_own_baseline(read: Read) -> None:
    report = read()
    kept = outcome(report, "int8").retention
    assert isinstance(kept, Estimate)
    assert kept.value == pytest.approx(0.99, abs=1e-3)
    assert (kept.runs, kept.unit) == (3, "training seeds")
    of_one = outcome(report, "int8", "SAC Pendulum-v1").retention
    assert isinstance(of_one, Estimate)
    assert of_one.unit == "episodes of one agent"
    assert [outcome(report, recipe).keeping for recipe in ("int8", "ptsq", "prune(l2, 0.5) > int8")] == [
        "keeps",
        "loses",
        "loses",
    ]


def test_costs_are_beside_the_baseline_s_with_their_source(read: Read) -> None:
    one = outcome(read(), "int8")
    assert one.share_of("packed_bytes") == one.share_of("latency") == pytest.approx(0.25)
    assert one.cost("latency").source == "measured"
    assert one.cost("energy_per_action").source == "modelled"
    assert outcome(read(costs=False), "int8").cost("latency").absolute == Missing("not measured")


def test_dominance_is_by_size_and_return() -> None:
    found = dominators({"none": (4.0, 1.0), "a": (1.0, 1.0), "b": (2.0, 0.9), "c": (0.5, 0.2), "twin": (1.0, 1.0)})
    assert found == {"none": ("a", "twin"), "a": (), "b": ("a", "twin"), "c": (), "twin": ()}


def test_who_dominates_whom(read: Read) -> None:
    report = read()
    assert outcome(report, "ptsq").dominated_by == ("prune(l2, 0.5) > int8", "int8")
    assert outcome(report, "prune(l2, 0.5)").dominated_by == ("int8",)
    assert outcome(report, "int8").dominated_by == ()
    summary = {one.recipe: one for one in report.recipes}
    assert summary["ptsq"].dominated_by == ("prune(l2, 0.5) > int8", "int8")
    assert (summary["int8"].front, summary["prune(l2, 0.5) > int8"].front, summary["ptsq"].front) == (2, 2, 0)


def test_the_answer_is_the_smallest_that_keeps_enough_in_most_agents(read: Read) -> None:
    report = read()
    assert report.answers == {"onnxruntime": "int8"}
    assert headline(report) == "int8 keeps 95 % of the return in all 2 agents, at 25 % of the size"
    told = " ".join(sentences(report))
    assert "25 % of the time of an action" in told
    assert "25 % of the energy of an action (modelled)" in told
    assert "ptsq (by prune(l2, 0.5) > int8)" in told


def test_one_agent_is_answered_with_its_interval(read: Read) -> None:
    told = headline(read(seeds=0))
    assert told.startswith("int8 keeps 99.0 % (98.")
    assert told.endswith("of SAC Pendulum-v1’s return, at 25 % of the size")


def test_where_nothing_keeps_enough_it_says_so(read: Read) -> None:
    bad = {name: RECIPES[name] for name in ("none", "ptsq")}
    assert headline(read(recipes=bad)) == "No recipe is known to keep 95 % of the return in any agent"


def test_a_saving_counts_only_where_the_return_is_kept(read: Read) -> None:
    summary = {one.recipe: one for one in read().recipes}
    assert summary["ptsq"].shares["latency"].value is None
    assert summary["ptsq"].shares["packed_bytes"].value == pytest.approx(0.275)
    assert summary["prune(l2, 0.5)"].shares["latency"].agents == 2


def test_one_run_is_no_aggregate(read: Read) -> None:
    with_given = read()
    assert all(isinstance(one.kept, Missing) for one in with_given.recipes)
    assert with_given.improvements == ()


def test_aggregates_are_over_seeds(read: Read) -> None:
    report = read(given=0)
    summary = {one.recipe: one for one in report.recipes}
    kept = summary["int8"].kept
    assert isinstance(kept, Estimate)
    assert kept.lower is not None
    assert kept.lower <= kept.value
    assert (kept.value, kept.runs) == (pytest.approx(0.99, abs=0.01), 3)
    over = {one.second: one.probability for one in report.improvements}
    assert isinstance(over["ptsq"], Estimate)
    assert over["ptsq"].value == 1.0


def test_a_single_seed_is_not_averaged(read: Read) -> None:
    assert all(isinstance(one.kept, Missing) for one in read(given=0, seeds=1).recipes)


def test_an_agent_that_has_not_learned_does_not_count(read: Read) -> None:
    report = read(level=1.0, given=0)
    assert agent(report, "PPO Hopper-v4").learned.verdict == "not learned"
    assert outcome(report, "int8").dominated_by is None
    assert headline(report).startswith("No agent is known to have learned")


def test_what_failed_or_is_left_says_why(read: Read) -> None:
    report = read(failed=("ptsq",), left=("int8",))
    assert outcome(report, "ptsq").retention == Missing("failed: It does something else.")
    assert outcome(report, "ptsq").keeping == "failed"
    assert outcome(report, "int8").retention == Missing("not run yet")
    assert report.cells.left == 4
    assert report.provenance.failures == {"It does something else.": 4}


def test_an_empty_study(read: Read) -> None:
    report = read(seeds=0, given=0)
    assert headline(report) == "Nothing has been measured yet"
    assert report.recipes == ()


def test_every_runtime_has_its_own_answer(read: Read) -> None:
    report = read(runtimes=("native", "onnxruntime"))
    assert report.runtimes == ("onnxruntime", "native")
    assert report.answers == {"onnxruntime": "int8", "native": "int8"}


def test_titles_are_told_apart(read: Read) -> None:
    assert len({one.title for one in read(given=3).agents}) == 4
    assert (TRAINED, GIVEN) == (("ppo", "Hopper-v4"), ("sac", "Pendulum-v1"))


def test_json_has_every_number_or_its_reason(read: Read) -> None:
    data = read(failed=("ptsq",)).to_json()
    assert (data["schema"], data["report"]) == (1, "grid")
    by_recipe = {one["recipe"]: one for one in data["agents"][0]["outcomes"]}
    assert by_recipe["ptsq"]["returns"] == {"reason": "failed: It does something else."}
    assert by_recipe["int8"]["costs"]["energy_per_action"]["source"] == "modelled"


def test_a_recipe_that_is_larger_than_fp32_is_beaten_by_it(read: Read) -> None:
    larger = {**RECIPES, "int8": Made(0.99, 5000, ({"step": "int8"},))}
    assert "none" in (outcome(read(recipes=larger), "int8").dominated_by or ())


def test_a_recipe_that_was_not_measured_with_every_agent_says_so(read: Read) -> None:
    told = headline(read(given=2, skipped={"int8": 1}))
    assert told == "int8 keeps 95 % of the return in all 2 agents that it was measured with, at 25 % of the size"
    alone = headline(read(given=1, skipped={"int8": 0}))
    assert alone.startswith("int8 keeps 95 % of the return in the one agent that it was measured with, of 2")


def test_costs_that_only_other_recipes_have_are_not_said_to_be_missing(read: Read) -> None:
    told = " ".join(sentences(read(unmeasured=("int8",))))
    assert "Its latency, memory and energy are not measured" in told
