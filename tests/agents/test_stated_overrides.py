"""What is stated as text means the same wherever it is stated."""

from __future__ import annotations

from pathlib import Path

import pytest

from policypress.agents.bundle import Activation
from policypress.agents.overrides import NO_OVERRIDES, Overrides
from policypress.agents.stated_overrides import stated_overrides
from policypress_runtime.errors import InputError


def test_texts_become_facts() -> None:
    assert stated_overrides() == NO_OVERRIDES
    assert stated_overrides(
        activation="leaky_relu(0.2)", cnn_strides="4,2", output_name="mean", actions=3, scale_actions=True
    ) == Overrides(
        activation=Activation("leaky_relu", (("negative_slope", 0.2),)),
        cnn_strides=(4, 2),
        output_name="mean",
        discrete_actions=3,
        scale_actions=True,
    )


def test_paths_are_relative_to_the_folder_and_none_is_no_path(tmp_path: Path) -> None:
    stated = stated_overrides(normalizer="a.pkl", check="b.npz", folder=tmp_path)
    assert (stated.normalizer, stated.check) == (str(tmp_path / "a.pkl"), str(tmp_path / "b.npz"))
    assert stated_overrides(normalizer="none", folder=tmp_path).normalizer == "none"
    assert stated_overrides(normalizer="a.pkl").normalizer == "a.pkl"


@pytest.mark.parametrize("strides", ["", "4,", "0", "-1", "4;2", "4,x"])
def test_strides_that_do_not_parse(strides: str) -> None:
    with pytest.raises(InputError, match="strides"):
        stated_overrides(cnn_strides=strides)
