"""Numbers with intervals, and their JSON form."""

from __future__ import annotations

import json

from policypress.measurement.statistics import Interval, Missing
from policypress.report.studies.estimates import NOT_MEASURED, Estimate, plain


def test_plain_data_has_the_fields_of_an_estimate() -> None:
    value = plain(Estimate(1.5, Interval(1.5, 1.0, 2.0, 0.9, "chosen"), 3, "training seeds"))
    assert value == {
        "value": 1.5,
        "lower": 1.0,
        "upper": 2.0,
        "runs": 3,
        "unit": "training seeds",
        "confidence": 0.9,
    }


def test_one_run_has_no_interval() -> None:
    one = Estimate(2.0, None, 1, "training seeds")
    assert (one.lower, one.upper) == (None, None)
    assert plain({"a": one})["a"]["confidence"] == 0.95
    assert plain(Estimate.whole(one))["lower"] == 1.0


def test_what_is_missing_says_why() -> None:
    assert plain({"a": NOT_MEASURED, "b": (Missing("no seed"), 2)}) == {
        "a": {"reason": "not measured"},
        "b": [{"reason": "no seed"}, 2],
    }


def test_json_takes_what_is_not_finite() -> None:
    assert json.dumps(plain([float("inf"), float("nan"), 1.0]), allow_nan=False) == "[null, null, 1.0]"
