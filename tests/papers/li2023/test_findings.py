"""Each statement of the paper gets the verdict that the trainings were made for."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_li import CARTPOLE, LANDER, Curve, add_training, as_the_paper_says, ramp

from policypress.engine.store.store import Store
from policypress.measurement.statistics import Interval
from policypress_li2023.findings import findings, judged_kept
from policypress_li2023.memory import PARTS, memory_row
from policypress_li2023.paper import MEMORY
from policypress_li2023.trainings import Run, Task, read_tasks


def verdicts(store: Store) -> dict[str, str]:
    with store:
        tasks = read_tasks(store)
    found = findings(tasks, [memory_row(task) for task in tasks])
    assert all(item.paper.text and item.study[0].text for item in found)
    return {item.name: item.study[0].verdict for item in found}


def study(path: Path, fp32: Curve, qat: Curve, *, peak_mib: float = 400.0, first: bool | None = True) -> Store:
    store = Store(path / "study.db")
    for seed in range(5):
        add_training(store, CARTPOLE, seed, fp32, qat=False, first=first)
        add_training(store, CARTPOLE, seed, qat, qat=True, peak_mib=peak_mib, first=first)
    return store


def test_what_the_paper_prints() -> None:
    assert [round(row.decrease, 3) for row in MEMORY.values()] == [0.051, 0.038]


def test_a_study_that_is_as_the_paper_says(tmp_path: Path) -> None:
    found = verdicts(as_the_paper_says(tmp_path))
    assert found == {
        "memory": "holds",
        "deployed": "holds",
        "cartpole-earlier": "holds",
        "cartpole-stable": "holds",
        "lunarlander-unaffected": "holds",
        "games-differ": "holds",
    }


@pytest.mark.parametrize(
    ("fp32", "qat", "verdict"),
    [
        (ramp(90), ramp(40), "does not hold"),
        (ramp(60), ramp(60), "undecided"),
        (ramp(40), ramp(10_000), "holds"),
    ],
)
def test_who_is_earlier_on_cartpole(fp32: Curve, qat: Curve, verdict: str, tmp_path: Path) -> None:
    assert verdicts(study(tmp_path, fp32, qat))["cartpole-earlier"] == verdict


@pytest.mark.parametrize(
    ("fp32", "qat", "verdict"),
    [
        (ramp(40, wobble=12.0), ramp(40), "does not hold"),
        (ramp(40), ramp(40), "undecided"),
        (ramp(40), ramp(10_000), "no data"),
    ],
)
def test_who_is_steadier_on_cartpole(fp32: Curve, qat: Curve, verdict: str, tmp_path: Path) -> None:
    assert verdicts(study(tmp_path, fp32, qat))["cartpole-stable"] == verdict


@pytest.mark.parametrize(
    ("peak_mib", "first", "verdict"),
    [(400.0, True, "does not hold"), (300.0, True, "holds"), (300.0, None, "no data"), (300.0, False, "no data")],
)
def test_memory_counts_only_in_processes_of_their_own(
    peak_mib: float, first: bool | None, verdict: str, tmp_path: Path
) -> None:
    store = study(tmp_path, ramp(40), ramp(40), peak_mib=peak_mib, first=first)
    assert verdicts(store)["memory"] == verdict


@pytest.mark.parametrize(("cap", "verdict"), [(200.0, "holds"), (100.0, "does not hold")])
def test_what_is_kept_of_what_was_learned(cap: float, verdict: str, tmp_path: Path) -> None:
    with Store(tmp_path / "study.db") as store:
        for seed in range(4):
            add_training(store, LANDER, seed, ramp(300, start=-200.0, length=700), qat=False)
            add_training(store, LANDER, seed, ramp(300, start=-200.0, length=700, cap=cap), qat=True)
        (task,) = read_tasks(store)
    assert judged_kept(task).verdict == verdict
    assert judged_kept(None).verdict == "no data"


def test_games_differ_where_their_interaction_does_though_intervals_overlap(tmp_path: Path) -> None:
    with Store(tmp_path / "study.db") as store:
        for seed in range(8):
            add_training(store, CARTPOLE, seed, ramp(40), qat=False)
            add_training(store, CARTPOLE, seed, ramp(40, cap=140.0 + 20 * (seed % 4)), qat=True)
            add_training(store, LANDER, seed, ramp(300, length=700), qat=False)
            add_training(store, LANDER, seed, ramp(300, length=700, cap=170.0 + 20 * (seed % 4)), qat=True)
        tasks = read_tasks(store)
    (found,) = next(item for item in findings(tasks, ()) if item.name == "games-differ").study
    first, second = found.numbers["CartPole"], found.numbers["LunarLander"]
    assert first["upper"] > second["lower"]
    assert found.numbers["p"] < 0.05
    assert found.verdict == "holds"
    assert "test of the interaction" in found.text


def test_nothing_trained_is_no_data(tmp_path: Path) -> None:
    store = Store(tmp_path / "study.db")
    add_training(store, CARTPOLE, 0, ramp(40), qat=False, done=False)
    assert set(verdicts(store).values()) == {"no data"}


def test_what_a_process_held_before_is_not_the_training_s() -> None:
    """Seeds whose processes began with more do not make a form look larger."""
    runs = {
        form: tuple(
            Run(seed, (1.0,), {"memory": {"first_in_process": True, "before_rss_bytes": base, "peak_rss_bytes": peak}})
            for seed, (base, peak) in enumerate(found)
        )
        for form, found in {"fp32": ((100, 200), (140, 240), (140, 240)), "qat": ((140, 230),) * 3}.items()
    }
    parts = dict.fromkeys(PARTS, 0)
    for run in (*runs["fp32"], *runs["qat"]):
        run.record["memory"].update(parts)
    found = memory_row(Task("dqn", "CartPole-v0", {"fp32": runs["fp32"], "qat": runs["qat"]}, {"fp32": 3, "qat": 3}))
    assert isinstance(found.decrease, Interval)
    assert found.decrease.estimate == pytest.approx(10 / (680 / 3))
