"""Files that take one observation, without a batch axis: what torch exports for an example without one."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import helper
from onnx_models import GEMM, W, bundle_of, model_of, node, observe, run_policy
from torch import Tensor, nn

from policypress.agents.onnx_reading.file import read_onnx
from policypress.policy.importers.from_agent import policy_from_agent
from policypress.policy.importers.from_onnx import from_onnx
from policypress.policy.policy import Policy
from policypress_runtime.contract import Box, Discrete, Space, box
from policypress_runtime.errors import UndeterminedAgentError

VECTOR = box((6,), "float32", -np.inf, np.inf)
IMAGE = box((3, 8, 8), "float32", 0.0, 1.0)


class Image(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv2d(3, 4, 3, stride=2), nn.Linear(36, 2)

    def forward(self, image: Tensor) -> Tensor:
        return self.out(torch.relu(self.conv(image)).flatten())


class Added(nn.Module):
    """Puts the axis in front itself, and takes it away again."""

    def __init__(self, taken: str) -> None:
        super().__init__()
        self.net, self.taken = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)), taken

    def forward(self, x: Tensor) -> Tensor:
        y = self.net(x.unsqueeze(0))
        return {"squeeze": y.squeeze(0), "first": y[0], "reshape": y.reshape(-1), "kept": y}[self.taken]


class Pieces(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 4), nn.Linear(4, 4)
        self.norm, self.out = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        parts = torch.cat([self.first(x[:2]), self.second(x[2:])])
        return torch.softmax(self.out(self.norm(parts)) - x.mean(dim=-1, keepdim=True), dim=-1)


NETWORKS: dict[str, tuple[nn.Module, Box]] = {
    "mlp": (nn.Sequential(nn.Linear(6, 8), nn.ELU(), nn.Linear(8, 3), nn.Tanh()), VECTOR),
    "image": (Image(), IMAGE),
    "pieces": (Pieces(), VECTOR),
    **{taken: (Added(taken), VECTOR) for taken in ("squeeze", "first", "reshape", "kept")},
}


def exported(module: nn.Module, example: Tensor, *, dynamo: bool = False, opset: int = 17) -> onnx.ModelProto:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter: deprecations and types of its own
        if dynamo:
            program = torch.onnx.export(module, (example,), dynamo=True, input_names=["obs"], verbose=False)
            assert program is not None
            program.save(buffer)
        else:
            torch.onnx.export(module, (example,), buffer, dynamo=False, opset_version=opset, input_names=["obs"])
    return onnx.load_model_from_string(buffer.getvalue())


def assert_row_by_row(policy: Policy, model: onnx.ModelProto, space: Space) -> None:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = observe(space, 20)[""]
    expected: Any = np.stack([np.asarray(session.run(None, {"obs": row})[0]).reshape(-1) for row in rows])
    got = run_policy(policy, {"": rows}).reshape(len(rows), -1)
    assert np.allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("name", NETWORKS)
def test_what_torch_exports_without_a_batch(tmp_path: Path, name: str, opset: int) -> None:
    torch.manual_seed(0)
    module, space = NETWORKS[name]
    if name == "pieces" and opset == 11:
        opset = 12  # the oldest with all of its operators
    model = exported(module, torch.zeros(space.shape), opset=opset)
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    bundle = read_onnx(tmp_path / "a.onnx")
    assert isinstance(bundle.observation_space, Box)
    assert bundle.observation_space.shape == space.shape
    policy = policy_from_agent(bundle)
    assert any("has no batch axis" in notice and str(list(space.shape)) in notice for notice in policy.origin.notices)
    assert_row_by_row(policy, model, space)


def test_what_torch_exports_now(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="torch's exporter needs it")
    for name in ("mlp", "squeeze"):
        model = exported(NETWORKS[name][0], torch.zeros(6), dynamo=True)
        actions = box((3,), "float32", -np.inf, np.inf)
        assert_row_by_row(from_onnx(bundle_of(model, VECTOR, actions)), model, VECTOR)


def test_the_space_of_the_environment_tells_what_free_axes_are() -> None:
    model = model_of([node("MatMul", "obs w", "y")], shape=("n",), output_rank=1)
    policy = from_onnx(bundle_of(model, VECTOR, box((4,), "float32", -np.inf, np.inf)))
    rows = observe(VECTOR)[""]
    assert np.allclose(run_policy(policy, {"": rows}), rows @ W, atol=1e-5)


def test_a_choice() -> None:
    nodes = [node("MatMul", "obs w", "h"), node("ArgMax", "h", "y", axis=0, keepdims=0)]
    model = model_of(nodes, shape=(6,), output_type=onnx.TensorProto.INT64, output_rank=1)
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    policy = from_onnx(bundle_of(model, VECTOR, Discrete(4)))
    rows = observe(VECTOR, 30)[""]
    assert np.array_equal(run_policy(policy, {"": rows}), (rows @ W).argmax(1))


def test_images_that_the_environment_gives_channel_last() -> None:
    torch.manual_seed(0)
    model = exported(Image(), torch.zeros(3, 8, 8))
    last = box((8, 8, 3), "float32", 0.0, 1.0)
    policy = from_onnx(bundle_of(model, last, box((2,), "float32", -np.inf, np.inf)))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = observe(last, 5)[""]
    expected = [session.run(None, {"obs": np.ascontiguousarray(np.moveaxis(row, -1, 0))})[0] for row in rows]
    assert np.allclose(run_policy(policy, {"": rows}), np.stack(expected), atol=1e-5)


def test_a_batch_of_several_or_an_observation_of_rows(tmp_path: Path) -> None:
    model = model_of([GEMM, node("Tanh", "h", "y")], shape=(5, 6))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [5, 4]))
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UndeterminedAgentError, match=r"(?s)batch or one observation.*\[5, 6\].*\[5, 4\].*--env"):
        read_onnx(tmp_path / "a.onnx")
    policy = from_onnx(bundle_of(model, VECTOR, box((4,), "float32", -1.0, 1.0)))
    assert run_policy(policy, {"": observe(VECTOR, 7)[""]}).shape == (7, 4)
