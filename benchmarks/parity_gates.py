"""Does the parity gate refuse wrong files, and only those? Counted over random networks and over changed files.

Right: random networks (ReLU, ELU, SiLU, tanh, GELU, LayerNorm; 1 to 4 hidden layers of 1 to 512 units; bounded actions
and unbounded ones; observations without bounds, visited ones and ones of ±10⁶) are written as ONNX and pass the
self-check of the importer and the gate, in fp32 and, every fourth, quantized by ``equalize > int8``.

Wrong: in files of such networks one weight, scale, zero point, bias, axis or activation is changed by more than
rounding; each has to be refused before it is written, by what it does or because its numbers are not the policy's.
How many show in what they do is counted apart.

    python benchmarks/parity_gates.py --networks 10000 --wrong 2000
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper

from policypress.compression.recipe import Recipe
from policypress.compression.step import Context
from policypress.environments.batches import joined
from policypress.environments.extremes import extremes
from policypress.export.parity import check_parity
from policypress.export.publish import prove
from policypress.policy import layers
from policypress.policy.policy import GraphBuilder, Policy
from policypress.policy.self_check import check_same
from policypress.writers.onnx_writer import contract_of, embed_contract, to_onnx
from policypress_runtime.contract import box
from policypress_runtime.errors import NetworkError, ParityError

ACTIVATIONS = ("relu", "elu", "silu", "tanh", "gelu")
VISITED, EXTREME = 96, 24
RECIPE = Recipe.parse("equalize > int8")
# The least change of a number: far above float32's rounding (6e-8), far below what matters.
LEAST, MOST = 1e-3, 1.0

Rng = np.random.Generator
Counts = Counter[str]


@dataclass(frozen=True)
class Case:
    """A policy, the observations of the gate, and what describes it."""

    policy: Policy
    observations: npt.NDArray[np.float32]
    text: str


def random_case(seed: int) -> Case:
    """One random network with observations."""
    rng = np.random.default_rng(seed)
    inputs, actions = int(rng.integers(1, 65)), int(rng.integers(1, 17))
    activation, norm = str(rng.choice(ACTIVATIONS)), bool(rng.random() < 0.25)
    widths = [int(2 ** rng.uniform(0, 9.001)) for _ in range(int(rng.integers(1, 5)))]
    gain, bounded = float(2 ** rng.uniform(-2, 2)), bool(rng.random() < 0.5)
    graph, value, width = GraphBuilder(), "observation", inputs
    for wide in widths:
        value = graph.add("hidden", _linear(width, wide, gain, rng), value)
        if norm and wide > 1:
            value = graph.add("norm", layers.LayerNorm(wide), value)
        value, width = graph.add("activation", layers.Activation(activation), value), wide
    value = graph.add("out", _linear(width, actions, gain, rng), value)
    space = box((actions,), "float32", -1.0, 1.0) if bounded else box((actions,), "float32", -np.inf, np.inf)
    if bounded:
        graph.add("squash", layers.Activation("tanh"), value)
    observed = box((inputs,), "float32", -np.inf, np.inf)
    policy = graph.policy(observed, space, None)
    visited = (rng.normal(size=(VISITED, inputs)) * 2.0 ** rng.uniform(-3, 3, inputs)).astype(np.float32)
    far = extremes(observed, visited, EXTREME, rng)
    sizes = "-".join(map(str, (inputs, *widths, actions)))
    rest = " norm" * norm + " bounded" * bounded
    return Case(policy, joined(visited, far), f"seed {seed}: {sizes} {activation} gain {gain:.2f}{rest}")


def _linear(inputs: int, outputs: int, gain: float, rng: Rng) -> layers.Linear:
    layer = layers.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(rng.normal(size=(outputs, inputs)) * gain / inputs**0.5))
        layer.bias.copy_(torch.from_numpy(rng.normal(size=outputs) * 0.3))
    return layer


def quantized(case: Case) -> Policy:
    """The case's policy by ``equalize > int8``."""
    policy = case.policy
    for step in RECIPE.steps:
        policy = step.apply(policy, Context(case.observations[:VISITED], 0))
    return policy


def refusal(policy: Policy, model: onnx.ModelProto, case: Case) -> str | None:
    """Why a file is not written, or None."""
    contract = contract_of(policy, "none", "", "fp32", "0")
    return _why_not(lambda: prove(model, contract, policy, case.observations))


def shows(policy: Policy, model: onnx.ModelProto, case: Case) -> bool:
    """Whether what the file does gives it away."""
    embed_contract(model, contract_of(policy, "none", "", "fp32", "0"))
    return _why_not(lambda: check_parity(policy, model.SerializeToString(), case.observations)) is not None


def _why_not(write: Callable[[], object]) -> str | None:
    try:
        write()
    except ParityError as error:
        return f"{error.message} {error.got} {error.expected}"
    return None


def self_check(case: Case) -> str | None:
    """Whether the importer's check takes the network for another: float32 on one side, the policy on the other."""

    def network(observations: dict[str, npt.NDArray[np.generic]]) -> npt.NDArray[np.generic]:
        with torch.no_grad():
            return case.policy(torch.from_numpy(next(iter(observations.values())))).numpy()

    try:
        check_same(case.policy, network, {})
    except NetworkError as error:
        return f"self-check: {error.got} {error.expected}"
    return None


def changed(value: float, rng: Rng) -> float:
    """Another number: by a share between LEAST and MOST of it, or by as much where it is 0."""
    share = float(LEAST * (MOST / LEAST) ** rng.random()) * (1 if rng.random() < 0.5 else -1)
    return value * (1 + share) if value else share


def _of_tensor(model: onnx.ModelProto, fits: Callable[[str], bool], rng: Rng) -> bool:
    """Change one number of one tensor whose name fits; False where there is none."""
    tensors = [
        tensor for tensor in model.graph.initializer if fits(tensor.name) and np.prod(tensor.dims, dtype=int) > 0
    ]
    if not tensors:
        return False
    tensor = tensors[rng.integers(len(tensors))]
    values = numpy_helper.to_array(tensor).copy()
    place = int(rng.integers(values.size))
    old = values.reshape(-1)[place]
    if values.dtype.kind in "iu":
        info = np.iinfo(values.dtype)
        step = int(rng.integers(1, 9)) if values.dtype.itemsize == 1 else max(int(abs(int(old)) * LEAST), 1) * 50
        values.reshape(-1)[place] = old + step if int(old) + step <= info.max else old - step
    else:
        values.reshape(-1)[place] = changed(float(old), rng)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return True


def _swapped(model: onnx.ModelProto, rng: Rng) -> bool:
    """Two rows of a weight change places."""
    weights = [t for t in model.graph.initializer if len(t.dims) == 2 and t.dims[0] > 1 and t.dims[1] > 1]
    if not weights:
        return False
    tensor = weights[rng.integers(len(weights))]
    values = numpy_helper.to_array(tensor).copy()
    first, second = rng.choice(len(values), 2, replace=False)
    values[[first, second]] = values[[second, first]]
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return True


def _other_activation(model: onnx.ModelProto, rng: Rng) -> bool:
    nodes = [node for node in model.graph.node if node.op_type in ("Relu", "Elu", "Tanh", "Sigmoid", "Erf")]
    if not nodes:
        return False
    node = nodes[rng.integers(len(nodes))]
    kind = str(rng.choice([kind for kind in ("Relu", "Tanh", "Sigmoid", "Softplus") if kind != node.op_type]))
    node.CopyFrom(helper.make_node(kind, list(node.input[:1]), list(node.output), name=node.name))
    return True


CHANGES: dict[str, Callable[[onnx.ModelProto, Rng], bool]] = {
    "weight": lambda model, rng: _of_tensor(model, lambda name: "weight" in name and "." in name and _plain(name), rng),
    "bias": lambda model, rng: _of_tensor(model, lambda name: "bias" in name and _plain(name), rng),
    "scale": lambda model, rng: _of_tensor(model, lambda name: name.endswith(".scale") or ".scale." in name, rng),
    "zero point": lambda model, rng: _of_tensor(model, lambda name: ".zero_point" in name, rng),
    "axis": _swapped,
    "activation": _other_activation,
}


def _plain(name: str) -> bool:
    return not any(word in name for word in (".scale", ".zero_point"))


def right(count: int, start: int) -> tuple[int, list[str]]:
    """How many gates were passed by ``count`` right networks, and every refusal."""
    passed, refused = 0, []
    for seed in range(start, start + count):
        case = random_case(seed)
        reasons = [self_check(case), refusal(case.policy, to_onnx(case.policy), case)]
        if seed % 4 == 0:
            small = quantized(case)
            reasons.append(refusal(small, to_onnx(small), case))
        found = [reason for reason in reasons if reason is not None]
        passed += len(reasons) - len(found)
        for reason in found:
            refused.append(f"{case.text}: {reason}")
            print(refused[-1], file=sys.stderr, flush=True)
        _progress(seed - start + 1, count, "right", len(refused))
    return passed, refused


def wrong(count: int, start: int) -> tuple[Counts, Counts, list[str]]:
    """How many of ``count`` changed files of each kind were refused, how many show, and every one that passed."""
    caught, shown = Counts(), Counts()
    missed: list[str] = []
    for done, (kind, case, policy, model) in enumerate(_changed_files(count, start), 1):
        if refusal(policy, model, case) is None:
            missed.append(f"{kind}: {case.text}")
        else:
            caught[kind] += 1
        shown[kind] += shows(policy, model, case)
        _progress(done, count, "wrong", len(missed))
    return caught, shown, missed


def _changed_files(count: int, start: int) -> Iterator[tuple[str, Case, Policy, onnx.ModelProto]]:
    made, seed = 0, start
    while made < count:
        case, rng = random_case(seed), np.random.default_rng(seed + 10**9)
        policy = quantized(case) if seed % 2 else case.policy
        kind = list(CHANGES)[int(rng.integers(len(CHANGES)))]
        model = to_onnx(policy)
        before = model.SerializeToString()
        seed += 1
        if CHANGES[kind](model, rng) and model.SerializeToString() != before:
            made += 1
            yield kind, case, policy, model


def _progress(done: int, count: int, what: str, bad: int) -> None:
    if done % 50 == 0 or done == count:
        print(f"{what}: {done} of {count}, {bad} judged wrongly", file=sys.stderr, flush=True)


def main() -> None:
    """Count, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=1000)
    parser.add_argument("--wrong", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the first network")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    began_s = time.process_time()
    passed, refused = right(arguments.networks, arguments.seed)
    caught, shown, missed = wrong(arguments.wrong, arguments.seed)
    result: dict[str, Any] = {
        "networks": arguments.networks,
        "gates passed": passed,
        "right ones refused": refused,
        "wrong files": arguments.wrong,
        "refused": dict(sorted(caught.items())),
        "shown by what they do": dict(sorted(shown.items())),
        "wrong ones passed": missed,
        "cpu_s": round(time.process_time() - began_s),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
