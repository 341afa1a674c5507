"""A study's whole report from a database that is written through the store, without training."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from synthetic_grid import LEVEL

from policypress.measurement.statistics import Missing
from policypress.report.studies.estimates import Estimate
from policypress.report.studies.standing import learned, references
from policypress_lu2024.study_report import StudyReport

Report = Callable[..., StudyReport]


def value(known: object) -> float:
    assert isinstance(known, Estimate)
    return known.value


def test_a_whole_grid(whole: StudyReport) -> None:
    found = whole
    assert found.algorithms == ("ppo", "sac")
    assert found.environments == ("HalfCheetah", "Hopper")
    assert [combination.name for combination in found.combinations] == [
        f"{algorithm}-{environment}-v4-onnxruntime"
        for algorithm in ("ppo", "sac")
        for environment in ("HalfCheetah", "Hopper")
    ]
    first = found.combinations[0]
    assert first.seeds == (0, 1, 2)
    assert value(first.baseline) == pytest.approx(LEVEL, rel=0.02)
    assert first.learned.verdict == "learned"
    assert first.published_baseline == 1542.98
    assert first.published_pruning_baseline == 1529.18
    qat = first.variant("qat")
    assert qat is not None
    assert qat.published == 432.21
    assert qat.recipe == "qat"
    assert value(qat.retention) == pytest.approx(0.8, abs=0.02)
    assert isinstance(qat.retention, Estimate)
    assert qat.retention.lower is not None
    assert qat.retention.lower < 0.8 < (qat.retention.upper or 0)
    assert (first.cells.done, first.cells.left, first.cells.failed) == (3 * (1 + 31) + 3 * (1 + 2), 0, 0)


def test_the_three_tables(whole: StudyReport) -> None:
    found = whole
    row = found.table1[0]
    assert (row.best, row.published_best) == ("ptdq", "ptdq")
    assert list(row.returns) == ["baseline", "ptdq", "ptsq", "qat"]
    pruning = found.table2[0]
    assert {norm: pruned.ratio for norm, pruned in pruning.ratios.items()} == {"l1": 0.1, "l2": 0.3}
    assert pruning.published == {"baseline": 1529.18, "best_pruned": 1453.9, "l1_ratio": 0.1, "l2_ratio": 0.05}
    optimal = found.table3[0]
    assert (optimal.norm, optimal.ratio, optimal.reason) == ("l2", 0.3, "")
    assert (optimal.published_norm, optimal.published_ratio) == ("l1", 0.1)


def test_none_where_no_ratio_keeps_90_percent(report: Report) -> None:
    found = report(share=lambda *about: 0.5 if about[-1].startswith("prune") else 1.0)
    assert [(row.norm, row.ratio) for row in found.table3] == [("none", None)]
    assert found.table2[0].ratios["l1"].ratio is None


def test_what_is_left_and_what_failed_is_said(report: Report) -> None:
    found = report(
        left=lambda algorithm, environment, recipe, seed: recipe == "prune(l1, 0.7)",
        failed=lambda algorithm, environment, recipe, seed: recipe == "ptsq",
    )
    row = found.table1[0]
    assert row.best is None
    assert row.returns["ptsq"] == Missing("failed: It does something else.")
    assert found.table3[0].norm is None
    assert found.table3[0].reason == "not every ratio has been measured, and larger ones may pass"
    assert found.table2[0].ratios["l1"].complete is False
    assert found.provenance.failures == {"It does something else.": 2}
    assert (found.cells.failed, found.cells.left) == (2, 2)


def test_one_training_seed_is_judged_by_its_episodes_and_in_no_aggregate(report: Report) -> None:
    found = report(seeds=1)
    first = found.combinations[0]
    assert isinstance(first.baseline, Estimate)
    assert (first.baseline.runs, first.baseline.unit) == (1, "episodes of one agent")
    assert first.learned.verdict == "learned"
    assert all(aggregate.missing and not aggregate.profile for aggregate in found.aggregates)
    assert any("one training seed" in told for told in found.reduced)


def test_a_baseline_that_has_not_learned_is_marked_and_in_no_aggregate(report: Report) -> None:
    found = report(share=lambda *about: 0.001, spread=0.0001, recipes=("none", "ptdq"))
    assert {combination.learned.verdict for combination in found.combinations} == {"not learned"}
    assert all(aggregate.missing for aggregate in found.aggregates)
    assert any("ppo HalfCheetah" in told and "not learned" in told for told in found.reduced)


def test_costs_are_relative_to_the_same_agents_baseline(report: Report) -> None:
    recipes = ("none", "ptdq", "ptsq", "prune(l1, 0.1)", "prune(l2, 0.1)")
    found = report(with_costs=True, runtimes=("onnxruntime", "native"), recipes=recipes)
    assert found.runtimes == ("onnxruntime", "native")
    series = {(s.figure, s.quantity, s.runtime): s for s in found.series}
    native = series[1, "latency", "native"]
    assert {point.method for point in native.points} == {"baseline", "ptdq", "ptsq", "qat"}
    assert {value(point.relative) for point in native.points if point.method == "qat"} == {0.5}
    assert {value(point.relative) for point in series[2, "latency", "onnxruntime"].points} == {1.0}
    energy = series[3, "energy_per_episode", "native"]
    assert {point.source for point in energy.points} == {"modelled"}
    assert len(energy.points) == 1
    assert found.provenance.machines == ({"cores_logical": 2, "cpu": "Test CPU"},)


def test_without_costs_they_are_not_measured(report: Report) -> None:
    found = report(seeds=1, recipes=("none", "ptdq"), qat=False)
    latency = next(series for series in found.series if series.quantity == "latency")
    assert (latency.points, latency.missing) == ((), "not measured")
    variant = found.combinations[0].variants[0]
    assert variant.costs["latency"].absolute == Missing("not measured")
    assert value(variant.costs["packed_bytes"].relative) == 0.25


def test_an_empty_store_is_reported_as_empty(report: Report) -> None:
    found = report(algorithms=(), environments=())
    assert (found.combinations, found.series, found.runtimes, found.reduced[0][:31]) == (
        (),
        (),
        (),
        "Baselines are measured in 0 of ",
    )


@pytest.mark.slow
def test_the_report_of_what_the_repository_holds_needs_no_torch() -> None:
    database = Path(__file__).resolve().parents[3] / "papers" / "lu2024" / "studies" / "lu2024-small" / "study.db"
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from policypress_lu2024.cells.assembling import read_study_report\n"
        "from policypress.engine.store.reader import StoreReader\n"
        f"with StoreReader(Path({str(database)!r})) as store:\n"
        "    report = read_study_report(store, 'lu2024-small.yml')\n"
        "played = [found for found in report.combinations if found.runtime == 'onnxruntime']\n"
        "assert len(played) == 25, report.runtimes\n"
        "assert all(len(combination.variants) >= 31 for combination in played)\n"
        "print(*[name for name in ('torch', 'gymnasium', 'pandas', 'pydantic') if name in sys.modules])\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout.strip()) == (0, ""), run.stderr


def test_seeds_that_are_left_do_not_keep_the_best_pruning_open(report: Report) -> None:
    found = report(left=lambda algorithm, environment, recipe, seed: seed == 1)
    assert found.table3[0].norm == "l2"
    assert found.table2[0].ratios["l2"].complete


def test_seeds_that_differ_have_learned_where_each_of_them_has() -> None:
    base = {0: (9000.0, 9100.0, 9050.0, 8950.0), 1: (3000.0, 3100.0, 3050.0, 2950.0)}
    found = learned(base, (-300.0, -280.0), references().get(("ppo", "HalfCheetah")))
    assert (found.verdict, found.reference) == ("learned", 5819.0)
    assert found.threshold == pytest.approx(-290 + 0.25 * (5819 + 290))
    assert "every agent by its own episodes is above" in found.reason
    one_failed = learned({**base, 1: (0.0, 10.0, 5.0, 1.0)}, (-300.0, -280.0), references().get(("ppo", "HalfCheetah")))
    assert one_failed.verdict == "not known"
    neither = learned(
        {0: (0.0, 10.0, 5.0), 1: (900.0, 910.0, 905.0)}, (-300.0, -280.0), references().get(("ppo", "HalfCheetah"))
    )
    assert neither.verdict == "not learned"


def test_without_a_published_return_two_standard_deviations_are_asked_for() -> None:
    found = learned({0: (100.0, 101.0, 99.0)}, (0.0, 10.0), references().get(("ddpg", "HumanoidStandup")))
    assert (found.reference, found.threshold, found.verdict) == (None, 15.0, "learned")
