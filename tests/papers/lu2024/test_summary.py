"""The page's sentences say what the numbers carry and no more."""

from __future__ import annotations

from synthetic_study_report import make_report

from policypress_lu2024 import summary as answer

SMALL = {"algorithms": ("ppo", "sac"), "environments": ("Hopper", "Ant")}


def test_the_headline_is_the_range_of_what_quantized_agents_keep() -> None:
    assert answer.headline(make_report(**SMALL)) == "Quantized agents keep 85 % (PTSQ) to 97 % (PTDQ) of the return"


def test_one_training_seed_gives_no_headline_of_methods() -> None:
    report = make_report(**SMALL, runs=1)
    assert answer.headline(report) == "3 of 4 combinations measured, no aggregate yet"
    assert "one training seed: an aggregate needs two" in answer.sentences(report)[1]


def test_an_empty_study_says_so() -> None:
    report = make_report(**SMALL, empty=True)
    assert answer.headline(report) == "Nothing has been measured yet"
    assert answer.sentences(report)[0] == "None of the 4 combinations of algorithm and environment has been measured."
    assert "have no data" in answer.sentences(report)[2]


def test_a_study_without_any_combination_has_an_answer_too() -> None:
    report = make_report(
        algorithms=("ppo",), environments=("Ant",), empty=True, combinations=(), runtimes=(), findings=()
    )
    assert answer.headline(report) == "Nothing has been measured yet"
    assert answer.sentences(report)[2] == "No statement of the paper has been judged."


def test_combinations_are_counted_once_whatever_the_runtimes() -> None:
    report = make_report(**SMALL, runtimes=("onnxruntime", "native"))
    assert (answer.combinations(report), answer.trained(report)) == (4, 3)
    assert "under native" in answer.sentences(report)[1]
    assert "under native" in answer.sentences(report)[2]


def test_every_verdict_is_counted() -> None:
    report = make_report(**SMALL)
    assert sum(answer.verdicts(report, "onnxruntime").values()) == len(report.findings)
    assert answer.sentences(report)[2] == (
        "Of the paper's 5 statements its own tables bear out 2; on this study's data 2 hold, 1 does not hold, 1 is "
        "undecided and 1 has no data."
    )
