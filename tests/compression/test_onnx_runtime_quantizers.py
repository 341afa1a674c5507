from __future__ import annotations

import contextlib
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest

from checkpoint_policies import crossq, dict_td3, normalised_ppo, observations_of, sac
from policypress.compression.quantization.onnx_runtime_quantizers import feeds, outside_network, quiet, through_files
from policypress.writers.onnx_writer import to_onnx


def kinds_outside(policy: object) -> list[str]:
    model = to_onnx(policy)  # type: ignore[arg-type]
    outside = outside_network(model, policy)  # type: ignore[arg-type]
    return [node.op_type for node in model.graph.node if node.name in outside]


def test_what_is_no_network() -> None:
    assert kinds_outside(normalised_ppo()) == ["Sub", "Sub", "Mul", "Clip", "Max", "Min"]
    assert kinds_outside(sac()) == ["Tanh", "Add", "Mul", "Mul", "Add"]
    assert kinds_outside(dict_td3())[:2] == ["Cast", "Mul"]


def test_hidden_normalisation_is_network() -> None:
    assert kinds_outside(crossq()) == kinds_outside(sac())


def test_feeds_are_chunks_under_the_names_of_the_inputs() -> None:
    policy = dict_td3()
    observations = observations_of(policy.observation_space, 300)
    parts = list(feeds(to_onnx(policy), observations))
    assert [len(part["observation.camera"]) for part in parts] == [256, 44]
    for key in ("camera", "vector"):
        joined = np.concatenate([part[f"observation.{key}"] for part in parts])
        np.testing.assert_array_equal(joined, observations[key])
        assert joined.dtype == observations[key].dtype


def test_feeds_are_in_the_dtype_of_the_input() -> None:
    (part,) = feeds(to_onnx(sac()), np.zeros((3, 8), np.float64))
    assert part["observation"].dtype == np.float32


def test_advice_is_silenced_and_only_inside(caplog: pytest.LogCaptureFixture) -> None:
    level = logging.getLogger().level
    with quiet():
        warnings.warn("advice", UserWarning, stacklevel=1)
        logging.warning("advice")
    with contextlib.suppress(ZeroDivisionError), quiet():
        raise ZeroDivisionError
    assert caplog.records == []
    assert logging.getLogger().level == level
    with pytest.warns(UserWarning, match="advice"):
        warnings.warn("advice", UserWarning, stacklevel=1)


def test_files_are_gone_when_the_quantizer_fails() -> None:
    folders: list[Path] = []

    def failing(source: Path, target: Path) -> None:
        assert onnx.load(source).graph.name == "policy"
        folders.append(target.parent)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        through_files(to_onnx(sac()), failing)
    assert not folders[0].exists()
