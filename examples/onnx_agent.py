"""An agent that comes as an ONNX file from elsewhere: read, translated, and pressed like any other.

    python examples/onnx_agent.py [folder]

The file that is written first stands for one of another framework: observation normalisation as separate
operators, a matrix product with its bias added apart, and a value output beside the action.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from policypress import Policy, load_agent
from policypress.policy.importers.from_agent import policy_from_agent


def write_foreign_file(path: Path) -> None:
    random = np.random.default_rng(0)
    weights = {
        "mean": np.array([0.1, -0.2, 0.3]),
        "std": np.array([1.0, 0.5, 4.0]),
        "w1": random.normal(size=(3, 32)),
        "b1": random.normal(size=32),
        "w2": random.normal(size=(32, 1)),
        "two": np.array(2.0),
    }
    nodes = [
        helper.make_node("Sub", ["obs", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "w1"], ["product"]),
        helper.make_node("Add", ["product", "b1"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "w2"], ["mean_action"]),
        helper.make_node("Tanh", ["mean_action"], ["squashed"]),
        helper.make_node("Mul", ["squashed", "two"], ["actions"]),
        helper.make_node("ReduceSumSquare", ["hidden"], ["values"], axes=[1]),
    ]
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["n", 3])],
        [
            helper.make_tensor_value_info("actions", TensorProto.FLOAT, ["n", 1]),
            helper.make_tensor_value_info("values", TensorProto.FLOAT, ["n", 1]),
        ],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, path)


def main(folder: Path) -> Policy:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "foreign.onnx"
    write_foreign_file(path)
    bundle = load_agent(path)
    for notice in bundle.notices:
        print("note:", notice)
    policy = policy_from_agent(bundle)
    print(policy)
    print(f"{policy.parameter_count()} parameters, {policy.macs()} multiply-accumulates for one action")
    print("To press it: policypress compress foreign.onnx --env Pendulum-v1")
    return policy


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="onnx-agent-")))
