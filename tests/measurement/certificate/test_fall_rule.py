"""What a fall is, as the user says it."""

from __future__ import annotations

import pytest

from policypress.measurement.certificate.fall_rule import FallRule
from policypress_runtime.errors import StudyInputError


def test_the_forms() -> None:
    flags = {"terminated": (True, False), "fell": (False, True)}
    for text, marks in (
        ("terminated", (True, False)),
        ("info:fell", (False, True)),
        ("info:Fell", (False, True)),
        ("return<10", (True, False)),
        ("score < 0.5", (True, False)),
    ):
        rule = FallRule.parse(text)
        threshold = rule.threshold(baseline_mean=20.0, zero=0.0)
        assert rule.marks((5.0, 15.0), flags, threshold, "the file") == marks
        assert rule.in_words(threshold)


@pytest.mark.parametrize("text", ["", "fell", "info:", "score<", "score<2", "return<nan", "score>0.5"])
def test_what_says_nothing(text: str) -> None:
    with pytest.raises(StudyInputError, match="not clear what a fall is"):
        FallRule.parse(text)


def test_a_file_that_does_not_say_it() -> None:
    with pytest.raises(StudyInputError, match="does not say which episodes were falls"):
        FallRule.parse("info:fell").marks((1.0,), {"other": (True,)}, 0.0, "cand.csv")
