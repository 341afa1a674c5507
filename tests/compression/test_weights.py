from __future__ import annotations

import pytest

from policypress.compression.weights import check_weights
from policypress.errors import RecipeError


@pytest.mark.parametrize("value", ["int8", "fp32"])
def test_both_forms_are_allowed(value: str) -> None:
    assert check_weights("ptdq", value) is None


@pytest.mark.parametrize("value", ["", "fp16", "INT8", "float32"])
def test_others_are_refused_by_the_step_that_was_named(value: str) -> None:
    with pytest.raises(RecipeError, match="ptdq cannot store"):
        check_weights("ptdq", value)
