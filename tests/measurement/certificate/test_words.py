"""What a certificate says in two sentences."""

from __future__ import annotations

from dataclasses import replace

from policypress.measurement.certificate.certifying import certify_deterministic, certify_returns
from policypress.measurement.certificate.fall_rule import FallLimit
from policypress.measurement.certificate.falls import ObservedFalls
from policypress.measurement.certificate.limits import Limits, declared
from policypress.measurement.certificate.words import assumed, certain, falls_in_words

BASE = [100.0, 101.0] * 80


def test_it_says_what_is_certain_and_what_is_assumed() -> None:
    found = certify_returns(BASE, BASE, None, keep=0.95, alpha=0.05, limits=Limits(0.0, 200.0))
    assert certain(found).startswith(
        "With confidence 0.95 the mean return is at least 0.95 of the baseline's mean return"
    )
    assert "at least 0 and at most 200" in certain(found)
    assert "stated by the user" in assumed(found)
    taken = certify_returns(BASE, BASE, None, keep=0.95, alpha=0.05, limits=declared([0.0, *BASE]))
    assert "are no law" in assumed(taken)
    for sentence in (certain(found), assumed(found)):
        assert sentence.count(". ") == 0
        assert sentence.endswith(".")


def test_what_is_not_certified_does_not_read_as_if_it_were() -> None:
    found = certify_returns(BASE[:10], BASE[:10], None, keep=0.95, alpha=0.05, limits=Limits(0.0, 200.0))
    assert certain(found).startswith("It is not certain that")


def test_falls_are_part_of_the_sentence_where_a_limit_was_stated() -> None:
    falls = ObservedFalls("the return is below 50", (False,) * 160, (False,) * 160, FallLimit(0.1))
    found = certify_returns(BASE, BASE, None, keep=0.95, alpha=0.05, limits=Limits(0.0, 200.0), falls=falls)
    assert "at most 10.00% of the episodes are falls (a fall: the return is below 50)" in certain(found)
    assert found.falls is not None
    assert "0 in 160 episodes" in falls_in_words(found.falls)


def test_a_deterministic_one_says_what_it_rests_on() -> None:
    found = certify_deterministic([10.0], [9.9], [0.0, 1.0], keep=0.95, alpha=0.05)
    assert "deterministic" in certain(found)
    assert "never looks at its seed" in assumed(found)


def test_an_older_rule_is_not_passed_off_as_this_one() -> None:
    found = certify_returns(BASE, BASE, None, keep=0.95, alpha=0.05, limits=Limits(0.0, 200.0))
    assert "rule 1" in certain(replace(found, version=1))


def test_an_excess_over_the_baseline_has_its_words() -> None:
    marks = (True, False) * 80
    falls = ObservedFalls("fell was true", marks, marks, FallLimit.of("baseline+0.1"))
    found = certify_returns(BASE, BASE, None, keep=0.95, alpha=0.05, limits=Limits(0.0, 200.0), falls=falls)
    assert "falls are at most 10.00% of the episodes more frequent than the baseline's" in certain(found)
    assert found.falls is not None
    assert "the excess is below" in falls_in_words(found.falls)
