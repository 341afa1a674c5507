"""From ONNX to a program: what is joined, what is refused, and that the C of it does what ONNX Runtime does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from compiled_policies import Compiled, agreement, model_of, observations_for
from onnx import TensorProto, helper
from small_policies import ACTIONS, KINDS, cnn, mlp, quantized

from policypress_runtime.codegen import program
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.errors import ArtifactError, NetworkError


def steps(model: bytes, kind: type) -> list[program.Step]:
    return [step for step in read_program(model).steps if isinstance(step, kind)]


def names(model: bytes) -> list[str]:
    return [type(step).__name__ for step in read_program(model).steps]


def test_a_quantized_network_is_one_kernel_per_layer() -> None:
    plain = mlp()
    policy = quantized(plain, observations_for(plain))
    assert names(model_of(policy)) == ["Map", "Quantize", "Dense", "Dense", "Dense", "Map"]
    layers = [step for step in steps(model_of(policy), program.Dense) if isinstance(step, program.Dense)]
    assert [layer.limits is None for layer in layers] == [False, False, True]
    assert layers[0].limits is not None
    assert layers[0].limits[0] == 0


@pytest.mark.parametrize("bits", [3, 4, 6])
def test_narrow_integers_are_limits_of_the_kernel(bits: int) -> None:
    plain = mlp()
    model = model_of(quantized(plain, observations_for(plain), bits))
    assert names(model) == ["Map", "Quantize", "Dense", "Dense", "Dense", "Map"]
    layers = [step for step in steps(model, program.Dense) if isinstance(step, program.Dense)]
    assert layers[0].limits is not None
    assert layers[0].limits[1] - layers[0].limits[0] <= 2**bits - 1
    assert {layer.bits for layer in layers} == {4 if bits <= 4 else 8}


def test_an_image_goes_into_the_first_convolution_as_it_is() -> None:
    """Bytes of scale 1/255 are their own codes, and channel-last is how images lie."""
    plain = cnn(transposed=True)
    observations = observations_for(plain)
    observations[0].flat[0], observations[0].flat[1] = 0, 255
    model = model_of(quantized(plain, observations))
    assert names(model)[:3] == ["Fill", "Copy", "Dense"]
    assert steps(model, program.Quantize) == []


def test_flattening_moves_weights_and_no_values() -> None:
    plain = cnn()
    model = model_of(quantized(plain, observations_for(plain)))
    assert names(model)[-4:] == ["Dense", "Dense", "Dense", "Map"]


@pytest.mark.parametrize("bits", [None, 8, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_small_policies_agree_with_onnx_runtime(kind: str, bits: int | None, tmp_path: Path) -> None:
    plain = KINDS[kind](ACTIONS["multi_discrete"] if kind == "mixed" else ACTIONS["box"], activation="elu")
    observations = observations_for(plain)
    policy = plain if bits is None else quantized(plain, observations, bits)
    assert agreement(policy, Compiled.of(model_of(policy), tmp_path), observations) > 0.99


def model_with(node: onnx.NodeProto, *, size: int = 4) -> onnx.ModelProto:
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])


def shaped(model: onnx.ModelProto, *shape: int | str) -> onnx.ModelProto:
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, list(shape)))
    return model


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (helper.make_node("Det", ["x"], ["y"], name="head/det"), "nothing in C"),
        (helper.make_node("Softmax", ["x"], ["y"], name="head/best", axis=0), "batch axis"),
        (helper.make_node("MatMul", ["x", "x"], ["y"], name="head/product"), "not constant"),
        (helper.make_node("ReduceMean", ["x"], ["y"], name="head/mean"), "batch too"),
    ],
)
def test_what_is_not_understood_is_named(node: onnx.NodeProto, reason: str) -> None:
    with pytest.raises(NetworkError, match=rf"{node.op_type}.*{node.name}[\s\S]*{reason}"):
        read_program(shaped(model_with(node), "batch", 4))


def test_files_that_are_no_policies_are_refused() -> None:
    with pytest.raises(ArtifactError, match="not ONNX"):
        read_program(b"no onnx")
    with pytest.raises(ArtifactError, match="not that of a policy"):
        read_program(shaped(model_with(helper.make_node("Relu", ["x"], ["y"])), "batch", "free"))


def test_a_file_from_elsewhere_needs_no_contract(tmp_path: Path) -> None:
    model = shaped(model_with(helper.make_node("Relu", ["x"], ["y"], name="r")), "batch", 4)
    found = read_program(model)
    assert found.contract is None
    assert [part.spec.name for part in found.inputs] == ["x"]
    assert [part.storage.name for part in found.inputs] == ["observation_x"]
    got, _, _ = Compiled.of(model.SerializeToString(), tmp_path).run(np.array([[1, -1, 0, 2]], np.float32))
    np.testing.assert_array_equal(got, [[1, 0, 0, 2]])
