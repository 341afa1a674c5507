"""A robot's LSTM (47 observations, 64 units, 32 hidden, 12 actions): one step from Python, and on a microcontroller.

Contenders take turns in a new order each round; ratios are medians over the rounds. ONNX Runtime runs float32 in two
forms: the artifact, whose cell is made of ordinary layers, and the ``LSTM`` operator that exporters of robots' policies
write. Weights are random; the time of a step does not depend on them.

    OMP_NUM_THREADS=1 python benchmarks/recurrent.py
    python benchmarks/recurrent.py --cortex-m
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cortex_m
import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from runtime_comparison import timing
from torch import Tensor, nn

from policypress.compression.pipeline import CalibrationData, build_artifact
from policypress.compression.recipe import Recipe
from policypress.environments.memory.episodes import lived_through
from policypress.environments.memory.remembering import memory_of
from policypress.export.publish import ProvenArtifact
from policypress.measurement.evaluation import runtime_of
from policypress.measurement.returns import actor_of
from policypress.policy.policy import Policy
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.codegen.render import render
from policypress_runtime.codegen.targets import TARGETS
from policypress_runtime.contract import Box
from policypress_runtime.runtimes.native.native_runtime import NativeRuntime
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime, session_of

INPUTS, UNITS, HIDDEN, ACTIONS = 47, 64, 32, 12
FP32, INT8, INT4 = "none", "equalize > int8", "equalize > gptq(4, storage=int4)"
OPERATOR, ARTIFACT = "ORT fp32 run(), LSTM operator", "ORT fp32 run()"
EPISODES, STEPS = 4, 100


class Walking(nn.Module):
    """The actor of a humanoid that walks."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.LSTM(INPUTS, UNITS)
        self.actor = nn.Sequential(nn.Linear(UNITS, HIDDEN), nn.ELU(), nn.Linear(HIDDEN, ACTIONS))

    def forward(self, observation: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step."""
        out, (h, c) = self.memory(observation[None], (h, c))
        return self.actor(out[0]), h, c


def policy() -> Policy:
    """The policy with random weights."""
    torch.manual_seed(0)
    spaces = (Box((size,), "float32", (-np.inf,), (np.inf,)) for size in (INPUTS, ACTIONS))
    zeros = torch.zeros(1, 1, UNITS)
    return Policy.from_module(Walking(), *spaces, state={"h_in": zeros, "c_in": zeros})


def materials(of: Policy) -> CalibrationData:
    """Random observations, with the states in which the policy meets them."""
    random = np.random.default_rng(0)
    episodes = tuple(random.normal(size=(STEPS, INPUTS)).astype(np.float32) for _ in range(EPISODES))
    actor = memory_of(actor_of(runtime_of(of)))
    if actor is None:
        raise SystemExit("The policy has no memory.")
    met = lived_through(actor, episodes, of.observation_space)
    return CalibrationData(met, met, met, episodes=episodes)


def artifacts(recipes: tuple[str, ...]) -> dict[str, ProvenArtifact]:
    """Each recipe's artifact."""
    whole = policy()
    data = materials(whole)
    return {text: build_artifact(whole, Recipe.parse(text), data).artifact for text in recipes}


def with_operator() -> bytes:
    """The same network with ONNX's ``LSTM``, as exporters write it; other random weights."""
    random = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.normal(0, 0.1, shape).astype(np.float32), name)

    def tensor(name: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    nodes = [
        helper.make_node("Unsqueeze", ["obs", "first"], ["x"]),
        helper.make_node("LSTM", ["x", "W", "R", "B", "", "h_in", "c_in"], ["", "h_out", "c_out"], hidden_size=UNITS),
        helper.make_node("Squeeze", ["h_out", "first"], ["h"]),
        helper.make_node("Gemm", ["h", "W1", "b1"], ["g"]),
        helper.make_node("Elu", ["g"], ["e"]),
        helper.make_node("Gemm", ["e", "W2", "b2"], ["actions"]),
    ]
    weights = [
        numpy_helper.from_array(np.array([0]), "first"),
        *(weight("W", 1, 4 * UNITS, INPUTS), weight("R", 1, 4 * UNITS, UNITS), weight("B", 1, 8 * UNITS)),
        *(weight("W1", UNITS, HIDDEN), weight("b1", HIDDEN), weight("W2", HIDDEN, ACTIONS), weight("b2", ACTIONS)),
    ]
    states = ("h_in", "c_in"), ("h_out", "c_out")
    given, after = ([tensor(name, 1, 1, UNITS) for name in names] for names in states)
    graph = helper.make_graph(
        nodes, "lstm", [tensor("obs", 1, INPUTS), *given], [tensor("actions", 1, ACTIONS), *after], weights
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def running(model: bytes) -> Any:
    """``run()`` of ONNX Runtime, which the caller gives the last states again."""
    session = session_of(model)
    names = [value.name for value in session.get_inputs()]
    states = [np.zeros((1, 1, UNITS), np.float32)] * 2

    def act(observation: np.ndarray) -> Any:
        found = session.run(None, dict(zip(names, (observation[None], *states), strict=True)))
        states[:] = found[-2:]
        return found[0][0]

    return act


def from_python(effort: timing.Effort) -> None:
    """The table of latencies."""
    made = artifacts((FP32, INT8, INT4))
    acts = {
        OPERATOR: running(with_operator()),
        ARTIFACT: running(made[FP32].model),
        "ORT fp32 IO binding": OnnxRuntime(made[FP32].model).act,
        "ORT int8 run()": running(made[INT8].model),
        "C fp32": NativeRuntime(made[FP32].model).act,
        "C int8": NativeRuntime(made[INT8].model).act,
        "C 4 bits": NativeRuntime(made[INT4].model).act,
    }
    observations = np.random.default_rng(1).normal(size=(64, INPUTS)).astype(np.float32)
    found = timing.measured(acts, observations, 1, effort)
    print(f"| runtime | µs a step | faster than {OPERATOR} | faster than {ARTIFACT} |\n|---|---|---|---|")
    for name, result in found.items():
        ratios = [timing.ratio(found[other], result) for other in (OPERATOR, ARTIFACT)]
        print(f"| {name} | {1e6 * float(np.median(result.block_s)):.2f} | {ratios[0]:.1f} × | {ratios[1]:.1f} × |")


def on_microcontrollers() -> None:
    """The table of instructions, flash and RAM."""
    if missing := cortex_m.missing_tools():
        raise SystemExit(f"{', '.join(missing)}: not on this machine")
    observations = np.random.default_rng(1).normal(size=(8, INPUTS)).astype(np.float32)
    print("| recipe | processor | instructions per action | flash | RAM | largest difference from here |")
    print("|---|---|---|---|---|---|")
    for recipe, artifact in artifacts((FP32, INT8, INT4)).items():
        wanted = cortex_m.host_actions(artifact, observations)
        for target in (TARGETS[name] for name in cortex_m.BOARDS):
            with tempfile.TemporaryDirectory() as folder:
                source = render(read_program(artifact.model), target)
                got = cortex_m.measure(source, target, observations, Path(folder))
            apart = float(np.abs(got.actions - wanted).max())
            print(
                f"| `{recipe}` | {target.name} ({got.kernel}) | {got.instructions:,.0f} "
                f"| {got.flash_bytes / 1000:.1f} kB | {got.ram_bytes} B | {apart:.2g} |",
                flush=True,
            )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cortex-m", action="store_true", help="instructions, flash and RAM under QEMU instead")
    parser.add_argument("--quick", action="store_true", help="three rounds")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.cortex_m:
        on_microcontrollers()
    else:
        from_python(timing.QUICK if given.quick else timing.Effort(15, 200, 3, 0.02, 0.05))


if __name__ == "__main__":
    main()
