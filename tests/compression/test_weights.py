from __future__ import annotations

import pytest

from policypress.compression.quantization.ptdq import Ptdq
from policypress.compression.quantization.ptsq import Ptsq
from policypress.compression.quantization.weights import PlainQuantizer
from policypress.compression.recipe import Recipe
from policypress_runtime.errors import RecipeError


@pytest.mark.parametrize("step", [Ptdq, Ptsq])
@pytest.mark.parametrize("value", ["int8", "fp32"])
def test_both_forms_are_allowed(step: type[PlainQuantizer], value: str) -> None:
    assert step(weights=value).weights == value


@pytest.mark.parametrize("step", [Ptdq, Ptsq])
@pytest.mark.parametrize("value", ["", "fp16", "INT8", "float32"])
def test_others_are_refused_by_the_step_that_was_named(step: type[PlainQuantizer], value: str) -> None:
    with pytest.raises(RecipeError, match=f"{step.name} does not support"):
        step(weights=value)


def test_recipes_keep_their_hashes() -> None:
    """Those of the files and stores that there are."""
    known = {
        "ptdq": "05097633c1805cfb",
        "ptsq(weights=fp32)": "da0e276389814203",
        "gptq(4)": "48ada4ae722e89ce",
        "gptq(4, ends=4, storage=int4)": "95244bd9eebbfd61",
        "rtn(3, activations=7)": "c412adeb01318c5b",
    }
    assert {text: Recipe.parse(text).hash for text in known} == known
