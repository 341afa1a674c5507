"""What a configuration may say."""

from __future__ import annotations

from typing import Any

import pytest

from policypress_runtime.errors import TrainingInputError
from policypress_train.qat.config import QatConfig


def test_by_default_what_acts_is_quantized_to_eight_bits_behind_scaled_observations() -> None:
    assert QatConfig() == QatConfig(8, 8, "actor", True, True)


@pytest.mark.parametrize("bits", range(2, 9))
def test_two_to_eight_bits(bits: int) -> None:
    assert QatConfig(weight_bits=bits, activation_bits=bits).weight_bits == bits


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"weight_bits": 1}, "weight_bits"),
        ({"activation_bits": 9}, "activation_bits"),
        ({"weight_bits": True}, "weight_bits"),
        ({"networks": "critic"}, "critic"),
        ({"observation_scaling": 1}, "observation_scaling"),
        ({"per_channel": None}, "per_channel"),
    ],
)
def test_anything_else_is_an_error_that_names_it(wrong: dict[str, Any], named: str) -> None:
    # Not by the constructor: in tests its annotations are checked, which users' values are not.
    config = object.__new__(QatConfig)
    for name, value in wrong.items():
        object.__setattr__(config, name, value)
    with pytest.raises(TrainingInputError, match=named):
        config.__post_init__()
