"""Compiled C as a runtime: the same dict as ONNX Runtime's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_policies import ACTIONS, KINDS, observations_of

from policypress.export.compiled_c import compiled, run_compiler
from policypress.export.parity import BatchRuntime
from policypress.writers.onnx_writer import contract_of, embed_contract, to_onnx
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.codegen.render import render
from policypress_runtime.codegen.targets import TARGETS
from policypress_runtime.errors import ExecutionError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime
from policypress_runtime.toolchain.compiler import compiler_command


@pytest.mark.parametrize(("kind", "action"), [("mlp", "box"), ("cnn", "from_two"), ("mixed", "multi_binary")])
def test_outputs_are_those_of_the_contract(kind: str, action: str) -> None:
    compiler = compiler_command()
    if compiler is None:
        pytest.skip("there is no C compiler on this machine")
    policy = KINDS[kind](ACTIONS[action])
    contract = contract_of(policy, "none", "", "fp32", "0")
    model = to_onnx(policy)
    embed_contract(model, contract)
    program = read_program(model)
    observations = observations_of(policy.observation_space, 40)
    want = OnnxRuntime(model.SerializeToString()).run_batch(observations)
    with compiled(render(program, TARGETS["freestanding"]), program, contract, compiler, "policy") as runtime:
        assert isinstance(runtime, BatchRuntime)
        assert runtime.use("plain")
        assert runtime.kernel == "plain"
        assert not runtime.use("abacus")
        got = runtime.run_batch(observations)
    assert got.keys() == want.keys()
    for name, values in want.items():
        assert got[name].dtype == values.dtype
        np.testing.assert_allclose(got[name], values, rtol=1e-5, atol=1e-5)


def test_a_compiler_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ExecutionError, match="does not run"):
        run_compiler([str(tmp_path / "no-such-cc")], tmp_path)
