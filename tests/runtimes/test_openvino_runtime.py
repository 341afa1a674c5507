"""What only concerns OpenVINO; that it acts alike is in the conformance tests."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from small_policies import mlp, observations_of, quantized
from written_artifacts import written

from policypress_runtime.errors import ArtifactError, MissingDependencyError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime
from policypress_runtime.runtimes.openvino_runtime import OpenVinoRuntime


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependencyError, match=r"policypress\[openvino\]"):
        OpenVinoRuntime(written(mlp(), tmp_path / "a.onnx"))


def test_integers(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    observations = observations_of(mlp().observation_space, 50)
    path = written(quantized(mlp(), observations), tmp_path / "a.onnx")
    got, want = OpenVinoRuntime(path).act_batch(observations), OnnxRuntime(path).act_batch(observations)
    # Its products of 8 bits saturate on processors without VNNI (0.023 of the range there).
    assert np.abs(got - want).mean() < 0.05 * np.ptp(want, axis=0).mean()


def test_no_artifact(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(ArtifactError, match="not ONNX"):
        OpenVinoRuntime(b"nonsense")
