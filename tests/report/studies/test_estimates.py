"""Numbers with intervals, and their JSON form."""

from __future__ import annotations

import json

from policypress.measurement.statistics import Missing
from policypress.report.studies.estimates import NOT_MEASURED, Estimate, plain


def test_plain_data_has_the_fields_of_an_estimate() -> None:
    value = plain(Estimate(1.5, 1.0, None, 3, "training seeds"))
    assert value == {
        "value": 1.5,
        "lower": 1.0,
        "upper": None,
        "runs": 3,
        "unit": "training seeds",
        "confidence": 0.95,
    }


def test_what_is_missing_says_why() -> None:
    assert plain({"a": NOT_MEASURED, "b": (Missing("no seed"), 2)}) == {
        "a": {"reason": "not measured"},
        "b": [{"reason": "no seed"}, 2],
    }


def test_json_takes_what_is_not_finite() -> None:
    assert json.dumps(plain([float("inf"), float("nan"), 1.0]), allow_nan=False) == "[null, null, 1.0]"
