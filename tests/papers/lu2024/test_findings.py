"""Statements judged: the paper's own numbers as they were derived by hand, and studies in which the truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_grid import gentle, make_grid

from policypress.engine.store.reader import STORE_NAME, StoreReader
from policypress.report.studies.estimates import Missing
from policypress.report.studies.evidence import Evidence, Finding
from policypress_lu2024.cells.assembling import read_study_report
from policypress_lu2024.findings.claims import Tally
from policypress_lu2024.findings.overall import STATEMENTS, findings, general_contradictions
from policypress_lu2024.study_report import StudyReport

PAPER = {finding.name: finding for finding in findings((), ())}


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("best-shares", "holds"),
        ("ptdq-superior", "does not hold"),
        ("ptsq-worst", "does not hold"),
        ("qat-humanoid-standup", "holds"),
        ("qat-sac", "holds"),
        ("ptsq-distribution-shift", "no data"),
        ("l2-favoured", "undecided"),
        ("norms-close", "no data"),
        ("substantial-pruning", "does not hold"),
        ("l2-ten-percent", "does not hold"),
        ("ppo-prunes-least", "undecided"),
        ("survival-5", "holds"),
        ("survival-50", "holds"),
        ("memory-quantization", "no data"),
        ("memory-pruning", "no data"),
        ("inference-time", "no data"),
        ("energy", "no data"),
        ("energy-follows-return", "no data"),
        ("size", "no data"),
    ],
)
def test_what_the_papers_own_tables_say(name: str, verdict: str) -> None:
    assert PAPER[name].paper.verdict == verdict
    assert PAPER[name].paper.text
    assert PAPER[name].study == ()


def test_every_statement_is_judged_once() -> None:
    assert list(PAPER) == [statement.name for statement in STATEMENTS]
    assert len(PAPER) == len(STATEMENTS) == 19


def test_numbers_of_the_paper() -> None:
    shares = PAPER["best-shares"].paper.numbers
    assert shares["counts"] == {"ptdq": 10, "qat": 9, "ptsq": 6}
    superior = PAPER["ptdq-superior"].paper.numbers
    assert superior["p_equal"] == pytest.approx(0.675, abs=0.001)
    assert superior["sign_tests"] == pytest.approx({"qat": 0.690, "ptsq": 0.424}, abs=0.001)
    assert PAPER["ptsq-worst"].paper.numbers["counts"] == {"qat": 11, "ptsq": 8, "ptdq": 6}
    assert PAPER["l2-favoured"].paper.numbers["p"] == pytest.approx(0.424, abs=0.001)
    assert (PAPER["l2-favoured"].paper.numbers["further"], PAPER["l2-favoured"].paper.numbers["less"]) == (6, 2)
    assert PAPER["l2-ten-percent"].paper.numbers["yes"] == 13
    assert [PAPER[f"survival-{limit}"].paper.numbers["count"] for limit in (5, 50)] == [11, 20]
    assert PAPER["ppo-prunes-least"].paper.numbers["means"]["ppo"] == pytest.approx(0.11)


def test_contradictions_of_the_paper() -> None:
    assert "10 of 25 rows" in PAPER["survival-5"].contradictions[0]
    assert any("7 of 25 ratios" in told for told in PAPER["l2-favoured"].contradictions)
    assert "there are 12" in PAPER["l2-ten-percent"].contradictions[0]
    told = general_contradictions()
    assert "agree in 4 of 25" in told[0]
    assert "PPO Hopper +153 %" in told[0]
    assert told[1].startswith("DDPG HumanoidStandup and TD3 HumanoidStandup")


ALGORITHMS = ("trpo", "ppo", "ddpg", "td3", "sac")
ENVIRONMENTS = ("HalfCheetah-v4", "HumanoidStandup-v4", "Ant-v4", "Humanoid-v4", "Hopper-v4")
Report = Callable[..., StudyReport]


def judged(report: StudyReport, runtime: str = "onnxruntime") -> dict[str, Evidence]:
    return {finding.name: of(finding, runtime) for finding in report.findings}


def of(finding: Finding, runtime: str) -> Evidence:
    return next(evidence for evidence in finding.study if evidence.runtime == runtime)


@pytest.fixture(scope="session")
def broad(tmp_path_factory: pytest.TempPathFactory) -> StudyReport:
    """All 25 combinations with two seeds and a few recipes; returns far above every published one."""
    path = tmp_path_factory.mktemp("broad") / STORE_NAME
    recipes = ("none", "ptdq", "ptsq", "equalize > ptsq", "prune(l1, 0.05)", "prune(l2, 0.1)", "prune(l2, 0.7)")

    def share(algorithm: str, environment: str, recipe: str) -> float:
        kept = gentle(algorithm, environment, "ptdq" if recipe == "equalize > ptsq" else recipe)
        return 5 * kept

    make_grid(
        path, algorithms=ALGORITHMS, environments=ENVIRONMENTS, seeds=2, share=share, recipes=recipes, with_costs=True
    )
    with StoreReader(path) as store:
        return read_study_report(store, "synthetic.yml")


def test_a_study_in_which_ptdq_is_best_and_ptsq_worst(broad: StudyReport) -> None:
    found = judged(broad)
    assert found["ptdq-superior"].verdict == "holds"
    assert found["ptsq-worst"].verdict == "holds"
    assert found["best-shares"].verdict == "does not hold"
    assert found["best-shares"].numbers["counts"] == {"ptdq": 25}
    assert found["qat-humanoid-standup"].verdict in ("undecided", "does not hold")
    # Scaled inputs mend it all on the same calibration states.
    assert found["ptsq-distribution-shift"].verdict == "does not hold"
    assert found["ptsq-distribution-shift"].numbers["losing"] == 25
    assert min(found["ptsq-distribution-shift"].numbers["scaled"]) > 0.5


@pytest.mark.parametrize(
    ("own", "scaled", "verdict"),
    [(0.95, 0.6, "holds"), (0.62, 0.98, "does not hold"), (0.6, 0.6, "does not hold"), (0.9, 0.9, "holds")],
)
def test_a_shift_is_what_calibrating_on_the_states_that_are_met_mends(
    own: float, scaled: float, verdict: str, tmp_path: Path
) -> None:
    kept = {"none": 5.0, "ptsq": 3.0, "ptsq(calibrate=own)": 5 * own, "equalize > ptsq": 5 * scaled}
    path = tmp_path / STORE_NAME
    make_grid(
        path,
        algorithms=ALGORITHMS,
        environments=ENVIRONMENTS,
        seeds=1,
        share=lambda algorithm, environment, recipe: kept.get(recipe, 4.0),
        recipes=tuple(kept),
    )
    with StoreReader(path) as store:
        found = judged(read_study_report(store, "synthetic.yml"))["ptsq-distribution-shift"]
    assert found.verdict == verdict
    assert found.numbers["own"] == pytest.approx([(own - 0.6) / 0.4] * 25, abs=0.05)
    assert f"scaling the inputs on the same states in {25 * (scaled > 0.8)} of 25" in found.text


def test_a_study_in_which_l2_prunes_more(broad: StudyReport) -> None:
    found = judged(broad)
    assert found["l2-favoured"].verdict == "holds"
    assert found["l2-ten-percent"].verdict == "holds"
    assert found["ppo-prunes-least"].verdict == "undecided"
    assert found["survival-5"].verdict == "does not hold"
    assert found["survival-5"].numbers["count"] == 0
    assert found["survival-50"].numbers["count"] == 25


def test_a_study_with_costs(broad: StudyReport) -> None:
    found = judged(broad)
    assert found["memory-quantization"].verdict == "holds"
    assert found["memory-pruning"].verdict == "does not hold"
    assert found["inference-time"].verdict == "holds"
    assert found["energy"].verdict == "holds"
    assert "modelled from CPU time" in found["energy"].text
    assert found["energy-follows-return"].verdict == "undecided"
    assert found["size"].verdict == "holds"


def test_energy_is_not_set_beside_returns_that_are_not_known(broad: StudyReport) -> None:
    unknown = Missing("not done")
    combinations = [
        replace(one, variants=tuple(replace(variant, ratio_to_baseline=unknown) for variant in one.variants))
        for one in broad.combinations
    ]
    found = {finding.name: finding.study[0] for finding in findings(combinations, ("onnxruntime",))}
    assert found["energy-follows-return"].verdict == "no data"
    assert "No returns are known" in found["energy-follows-return"].text
    assert found["energy"].verdict == "holds"


def test_verdicts_are_of_each_runtime(report: Report) -> None:
    recipes = ("none", "ptdq", "ptsq", *(f"prune({norm}, {r})" for norm in ("l1", "l2") for r in (0.05, 0.1)))
    environments = ("HalfCheetah-v4", "Hopper-v4", "Ant-v4")
    found = report(
        with_costs=True, runtimes=("onnxruntime", "native"), recipes=recipes, seeds=1, environments=environments
    )
    time = [judged(found, runtime)["inference-time"] for runtime in ("onnxruntime", "native")]
    assert [evidence.verdict for evidence in time] == ["holds", "does not hold"]
    assert time[1].numbers["no_gain"] == 0
    # PTSQ and QAT keep 60 and 80 % of the return: what they save is no gain.
    assert time[0].numbers["recipes"] == 3 * 5
    assert "PTSQ" not in time[0].text


def test_one_combination_says_nothing_of_algorithms(report: Report) -> None:
    found = judged(report(seeds=1))
    general = ("l2-favoured", "l2-ten-percent", "survival-50", "substantial-pruning", "inference-time")
    assert {name: found[name].verdict for name in general[:-1]} == dict.fromkeys(general[:-1], "undecided")
    assert found["qat-sac"].verdict == "no data"


def test_one_training_of_a_method_does_not_tell_it_from_its_seed(report: Report) -> None:
    found = judged(report(seeds=1))["best-shares"]  # with two seeds it is judged: see the next test
    assert found.verdict == "no data"
    assert "in 1 there is one training seed" in found.text


@pytest.mark.parametrize(("kernels", "verdict"), [("avx2", "undecided"), ("amx", "no data")])
def test_agents_of_another_update_than_their_baseline_s_say_nothing_of_quantization(
    kernels: str, verdict: str, report: Report
) -> None:
    made = report(kernels={"fp32": "avx2", "qat": kernels})
    found = judged(made)["best-shares"]
    assert found.verdict == verdict
    qat = made.combinations[0].variant("qat")
    assert qat is not None
    told = "trained by the native update with amx kernels, its baseline by the native update with avx2 kernels"
    assert qat.other_training == ("" if kernels == "avx2" else told)
    assert ("in 1 its agents learned by another update" in found.text) == (kernels == "amx")
    aggregate = next(a for a in made.aggregates if a.method == "qat")
    assert aggregate.combinations == (kernels == "avx2")


def test_a_share_holds_where_its_interval_does() -> None:
    assert Tally(9, 7).counted(0.5) == "holds"
    assert Tally(9, 7).verdict(0.5) == Tally(4, 12).verdict(0.5) == "undecided"
    assert Tally(40, 10).verdict(0.5) == "holds"
    assert Tally(5, 15, 30).verdict(0.5) == "undecided"


def _passing(ratios: set[float]) -> Callable[[str, str, str], float]:
    def share(algorithm: str, environment: str, recipe: str) -> float:
        return 1.0 if not recipe.startswith("prune") or float(recipe[:-1].split(", ")[1]) in ratios else 0.5

    return share


@pytest.mark.parametrize(("ratios", "unbroken"), [({0.05, 0.4}, 0), ({0.05, 0.1, 0.15, 0.2}, 1)])
def test_a_ratio_that_passes_above_one_that_does_not_is_no_pruning_to_rely_on(
    ratios: set[float], unbroken: int, report: Report
) -> None:
    found = judged(report(share=_passing(ratios), spread=0.0, qat=False))["substantial-pruning"]
    assert (found.numbers["yes"], found.numbers["unbroken"]) == (1, unbroken)


def test_norms_that_are_equal_are_tied(report: Report) -> None:
    made = report(share=_passing({0.05}), spread=0.0, qat=False)
    found = judged(made)["l2-favoured"]
    assert [found.numbers[name] for name in ("l1", "l2", "both", "none")] == [0, 0, 1, 0]
    assert "in 1 they are tied" in found.text
    assert made.table3[0].norm == "both"


@pytest.mark.parametrize(("spread", "losing"), [(0.001, 1), (0.2, 0)])
def test_a_loss_within_chance_is_none_that_something_makes_up_for(spread: float, losing: int, report: Report) -> None:
    kept = {"none": 1.0, "ptsq": 0.9, "ptsq(calibrate=own)": 1.0}
    found = judged(
        report(recipes=tuple(kept), share=lambda a, e, recipe: kept[recipe], qat=False, seeds=1, spread=spread)
    )["ptsq-distribution-shift"]
    assert (found.verdict, found.numbers["losing"]) == ("undecided", losing)


def test_baselines_that_have_not_learned_are_no_evidence(report: Report) -> None:
    found = judged(report(share=lambda *about: 0.001, spread=0.0001, recipes=("none", "ptdq", "ptsq")))
    assert found["best-shares"].verdict == "no data"
    assert found["best-shares"].numbers["left_out"] == 1


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.floats(0.01, 1.0))
def test_more_evidence_never_turns_a_verdict_around(yes: int, no: int, unsure: int, needed: float) -> None:
    for rule in (Tally.verdict, Tally.counted):
        before = rule(Tally(yes, no, unsure), needed)
        if unsure and before in ("holds", "does not hold"):
            assert rule(Tally(yes + 1, no, unsure - 1), needed) == before
            assert rule(Tally(yes, no + 1, unsure - 1), needed) == before


def test_tallies_of_answers() -> None:
    assert Tally.of([True, None, False, True]) == Tally(2, 1, 1)
    assert Tally(0, 0).verdict(0.5) == "no data"
    assert Tally(3, 0).everywhere(4) == "undecided"
