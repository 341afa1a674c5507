"""The lottery-ticket experiment: what a ticket and a random ticket are, and that it goes on where it stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from policypress_runtime.errors import TrainingInputError
from policypress_train.lottery import LotteryPlan, Unit, results, run, units

PLAN = LotteryPlan("dqn", "CartPole-v1", steps=1300, seeds=(3,), rounds=1, share=0.5, episodes=2)


def test_each_unit_comes_after_those_it_needs() -> None:
    plan = LotteryPlan("ppo", "CartPole-v1", seeds=(0, 1), rounds=2)
    names = [unit.name for unit in units(plan)]
    assert len(names) == len(set(names)) == 2 * 5
    assert names[:3] == ["dense-seed0-round0", "ticket-seed0-round1", "random-seed0-round1"]
    assert plan.sparsity(2) == pytest.approx(1 - 0.7**2)


@pytest.mark.parametrize("rounds", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_tickets_go_back_to_the_first_weights_and_random_tickets_do_not(rounds: int, tmp_path: Path) -> None:
    plan = replace(PLAN, rounds=rounds)
    assert run(plan, tmp_path, limit=2) == 2 * rounds - 1
    half_way = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.json") if path.name != "plan.json"}
    assert set(half_way) == {"dense-seed3-round0.json", "ticket-seed3-round1.json"}
    assert run(plan, tmp_path) == 0
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in half_way} == half_way
    found = results(plan, tmp_path)
    by_name = {(unit["kind"], unit["round"]): unit for unit in found["units"]}
    assert len(by_name) == 1 + 2 * rounds
    for (kind, round_), unit in by_name.items():
        assert unit["sparsity"] == pytest.approx(0.0 if kind == "dense" else plan.sparsity(round_), abs=1e-3)
        assert unit["steps"] >= 1300
        assert len(unit["returns"]) == 2
        assert unit["learning"]
    first = torch.load(tmp_path / "dense-seed3-round0.pt", weights_only=True)
    # What the last round leaves is needed by none.
    for second in (
        torch.load(tmp_path / f"ticket-seed3-round{round_}.pt", weights_only=True) for round_ in range(1, rounds)
    ):
        assert all(bool((second["masks"][name] <= first["masks"][name]).all()) for name in first["masks"])
    assert set(first["rewind"]) >= {"q_net.q_net.0.weight"}
    json.dumps(found)


@pytest.mark.slow
def test_the_same_unit_gives_the_same_numbers(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        run(PLAN, tmp_path / folder, limit=1)
    one, two = ((tmp_path / folder / "dense-seed3-round0.json").read_text() for folder in ("one", "two"))
    assert one == two


def test_more_seeds_are_more_of_the_same_experiment(tmp_path: Path) -> None:
    first = run(PLAN, tmp_path, limit=0)
    assert run(replace(PLAN, seeds=(*PLAN.seeds, 90, 91)), tmp_path, limit=0) == 3 * first


def test_another_plan_needs_another_folder(tmp_path: Path) -> None:
    run(PLAN, tmp_path, limit=0)
    with pytest.raises(TrainingInputError, match="another"):
        run(LotteryPlan("dqn", "CartPole-v1", steps=7), tmp_path, limit=0)


def test_what_an_earlier_unit_left_may_be_missing(tmp_path: Path) -> None:
    run(PLAN, tmp_path, limit=1)
    (tmp_path / f"{Unit('dense', 3, 0).name}.pt").unlink()
    with pytest.raises(TrainingInputError, match="train it again"):
        run(PLAN, tmp_path, limit=1)


@pytest.mark.parametrize("wrong", [{"seeds": ()}, {"rounds": 0}, {"share": 1.0}, {"rewind": -1}])
def test_a_plan_that_is_none_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(TrainingInputError):
        LotteryPlan("dqn", "CartPole-v1", **wrong)  # type: ignore[arg-type]
