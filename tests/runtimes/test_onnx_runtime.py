"""Sessions of ONNX Runtime: integer products are exact on every processor, also of files that need another way."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from policypress_runtime.runtimes import onnx_runtime
from policypress_runtime.runtimes.onnx_runtime import EXACT_PRODUCTS, FLOAT_PRODUCTS, session_of, session_options

WIDTH, ROWS = 64, 3
SCALE_IN, SCALE_WEIGHT = 0.5, 0.25


def dense(*, shared: bool) -> bytes:
    """A quantized layer whose every pair of products overflows 16 bits; ``shared``: two layers with one zero point."""
    weight = np.full((WIDTH, ROWS), 127, np.int8)
    weight[:, 1] = -127
    constants = {
        "x_scale": np.float32(SCALE_IN),
        "x_zero": np.uint8(0),
        "w_scale": np.full(ROWS, SCALE_WEIGHT, np.float32),
        "w_zero": np.zeros(ROWS, np.int8),
        "bias": np.zeros(ROWS, np.int32),
        "b_scale": np.full(ROWS, SCALE_IN * SCALE_WEIGHT, np.float32),
        "weight": weight,
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "x_scale", "x_zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["bias", "b_scale"], ["b"], axis=0),
    ]
    for number in range(2 if shared else 1):
        nodes += [
            helper.make_node("DequantizeLinear", ["weight", "w_scale", "w_zero"], [f"w{number}"], axis=1),
            helper.make_node("Gemm", ["d", f"w{number}", "b"], [f"y{number}"]),
        ]
    outputs = [
        helper.make_tensor_value_info(f"y{n}", TensorProto.FLOAT, ["N", ROWS]) for n in range(len(nodes) // 2 - 1)
    ]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", WIDTH])],
        outputs,
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("shared", [False, True])
def test_products_that_would_overflow_are_exact(shared: bool) -> None:
    x = np.full((5, WIDTH), 255 * SCALE_IN, np.float32)
    one = 255 * 127 * WIDTH * SCALE_IN * SCALE_WEIGHT
    for result in session_of(dense(shared=shared)).run(None, {"x": x}):
        np.testing.assert_allclose(result, np.tile(np.float32([one, -one, one]), (5, 1)), rtol=1e-6)


def test_a_file_that_shares_zero_points_goes_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first way refuses a file, and there alone."""
    taken: list[tuple[str, str]] = []
    monkeypatch.setattr(
        onnx_runtime,
        "session_options",
        lambda products=EXACT_PRODUCTS: taken.append(products) or session_options(products),
    )
    session_of(dense(shared=False))
    assert taken == [EXACT_PRODUCTS]
    with pytest.raises(Exception, match="nowhere"):
        session_of("nowhere.onnx")
    assert taken[1:] == [EXACT_PRODUCTS, FLOAT_PRODUCTS]


def test_the_options_say_how_products_are_computed() -> None:
    assert session_options().get_session_config_entry(EXACT_PRODUCTS[0]) == "1"
    assert session_options(FLOAT_PRODUCTS).get_session_config_entry(FLOAT_PRODUCTS[0]) == "1"
    assert session_options().intra_op_num_threads == 1
