"""C of policies with memory: proven along episodes, a state of the caller's, golden sequences in the self-test."""

from __future__ import annotations

import math
import shlex
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from kernels_here import ONLY_HERE, PLAIN_ALONE
from policypress.compression.pipeline import build_artifact
from policypress.compression.recipe import Recipe
from policypress.export.c_source import prove_c, publish_c
from policypress.export.compiled_c import compiled, run_compiler
from policypress.export.drift import played
from policypress.export.golden_sequences import golden_sequences
from policypress.export.publish import ProvenArtifact
from policypress.policy.policy import Policy
from policypress.policy.recurrence.cells import Kind
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.codegen.render import Source, render
from policypress_runtime.codegen.rendering import steps
from policypress_runtime.codegen.targets import TARGETS
from policypress_runtime.contract import Box, Discrete
from policypress_runtime.errors import NetworkError, ParityError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime
from policypress_runtime.toolchain.compiler import compiler_command
from recurrent_policies import INPUTS, MODULES, data_of, policy_of

needs_compiler = pytest.mark.skipif(compiler_command() is None, reason="there is no C compiler on this machine")
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DPOLICY_ONLY_PLAIN", "-g")


@pytest.fixture
def policy() -> Policy:
    torch.manual_seed(0)
    return policy_of("lstm", MODULES["lstm"](num_layers=2))


def proven(policy: Policy, recipe: str = "none") -> ProvenArtifact:
    return build_artifact(policy, Recipe.parse(recipe), data_of(policy)).artifact


def self_tested(source: Source, folder: Path, *flags: str) -> str:
    """What the self-test says, which has to pass."""
    compiler = compiler_command()
    assert compiler is not None
    (folder / "policy.h").write_text(source.h)
    (folder / "policy.c").write_text(source.c)
    run_compiler([*compiler, "-O1", *flags, "-DPOLICY_SELFTEST", "policy.c", "-o", "selftest"], folder)
    run = subprocess.run([folder / "selftest"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@needs_compiler
@pytest.mark.parametrize(
    ("kind", "recipe", "target"),
    [
        ("lstm", "none", "host"),
        pytest.param("lstm", "equalize > int8", "host", marks=pytest.mark.slow),
        ("gru", "gptq(4)", "cortex-m4"),
        ("gru", "ptdq", "freestanding"),
        pytest.param("rnn_tanh", "gptq(8)", "freestanding", marks=pytest.mark.slow),
    ],
)
def test_the_c_follows_the_policy(
    kind: Kind, recipe: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = compiler_command()
    assert compiler is not None
    monkeypatch.setenv("CC", shlex.join([*compiler, *ONLY_HERE]))
    torch.manual_seed(0)
    policy = policy_of(kind, MODULES[kind](num_layers=2))
    result = prove_c(proven(policy, recipe), data_of(policy).parity, TARGETS[target], "policy")
    assert result.parity is not None
    assert result.parity.of_allowed <= 1
    publish_c(result, tmp_path / "policy.c")
    said = self_tested(result.source, tmp_path, *ONLY_HERE)
    assert "observations: passed" in said
    assert "not finite: refused" in said
    assert "static const uint8_t golden_starts" in result.source.c


@needs_compiler
@pytest.mark.parametrize("recipe", ["none", "int8"])
def test_no_step_reads_or_writes_elsewhere(policy: Policy, recipe: str, tmp_path: Path) -> None:
    artifact = proven(policy, recipe)
    program = read_program(artifact.model)
    goldens = golden_sequences(program, artifact.policy, artifact.model, artifact.episodes, None)
    said = self_tested(render(program, TARGETS["host"], goldens=goldens), tmp_path, *SANITIZED)
    assert "observations: passed" in said
    assert "not finite: refused" in said


@needs_compiler
@pytest.mark.usefixtures("every_kernel")
def test_kernels_differ_in_no_bit_of_integers(policy: Policy) -> None:
    compiler = compiler_command()
    assert compiler is not None
    artifact = proven(policy, "equalize > int8")
    program = read_program(artifact.model)
    source = render(program, TARGETS["host"])
    with compiled(source, program, artifact.contract, [*compiler, *ONLY_HERE], "policy") as runtime:
        found = [
            played(runtime, artifact.contract, artifact.episodes[0]) for kernel in source.kernels if runtime.use(kernel)
        ]
        both = runtime.run_batch(data_of(policy).parity)
    for other in found[1:]:
        for name, value in found[0].items():
            np.testing.assert_array_equal(value, other[name])
    alone = OnnxRuntime(artifact.model).run_batch(data_of(policy).parity)
    for name, value in alone.items():
        np.testing.assert_allclose(both[name], value, atol=1e-5)


@needs_compiler
def test_c_that_forgets_is_caught(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every action of a single step is right; the state that it leaves is not."""
    monkeypatch.setattr(steps, "member", lambda storage, row="": f"state[{row}].{storage.name.replace('c_in', 'h_in')}")
    with pytest.raises(ParityError):
        prove_c(proven(policy), data_of(policy).parity, TARGETS["freestanding"], "policy")


def test_goldens_are_parts_of_episodes(policy: Policy) -> None:
    artifact = proven(policy, "int8")
    program = read_program(artifact.model)
    goldens = golden_sequences(program, artifact.policy, artifact.model, artifact.episodes, None)
    assert goldens is not None
    assert goldens.starts is not None
    assert goldens.starts[0] == 1
    assert 2 <= goldens.starts.sum() < goldens.count <= 24
    np.testing.assert_array_equal(goldens.inputs[0][0], np.asarray(artifact.episodes[0])[0])
    begins = [*np.flatnonzero(goldens.starts), goldens.count]
    for first, last in pairwise(begins):
        runtime = OnnxRuntime(artifact.model)
        for row in range(first, last):
            got = runtime.act(goldens.inputs[0][row])
            assert (np.abs(got - goldens.actions[row]) <= goldens.tolerance[row]).all()


class Counts(nn.Module):
    """Says how often it was called, from 3 on, and which of two sums is the larger; states with names of C."""

    def forward(self, observation: Tensor, calls: Tensor, sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        after = 0.5 * sums + observation[:, :2]
        return after + 0.01 * calls, calls + 1, after


def counting(calls: str = "int", sums: str = "sums_in") -> Policy:
    space = Box((INPUTS,), "float32", (-math.inf,), (math.inf,))
    start = {calls: torch.full((1, 1), 3.0), sums: torch.tensor([[0.25, -1.5]])}
    return Policy.from_module(Counts(), space, Discrete(2), state=start)


@needs_compiler
def test_states_begin_where_the_contract_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", shlex.join([*(compiler_command() or ()), *PLAIN_ALONE]))
    policy = counting()
    result = prove_c(proven(policy), data_of(policy).parity, TARGETS["host"], "policy")
    assert "float state_int[1];" in result.source.h
    assert "float sums_in[2];" in result.source.h
    assert "3 at the start (int, int" in result.source.h
    assert "values from -1.5 to 0.25 at the start" in result.source.h
    assert "int policy_run_batch(policy_state *state, const float *observation" in result.source.h
    strict = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
    assert "passed" in self_tested(result.source, tmp_path, "-DPOLICY_ONLY_PLAIN", *strict)


def test_names_of_states_end_no_comment(policy: Policy) -> None:
    artifact = proven(policy)
    program = read_program(artifact.model)
    carried = program.states[0]
    hostile = replace(carried, spec=replace(carried.spec, name="*/ int evil; /*", next_name="\\\n??/"))
    source = render(replace(program, states=(hostile, *program.states[1:])), TARGETS["freestanding"])
    assert "evil" in source.h
    assert "*/ int" not in source.h
    assert "??/" not in source.h


def test_working_memory_of_the_caller_stands_before_the_state(policy: Policy) -> None:
    program = read_program(proven(policy).model)
    source = render(program, replace(TARGETS["cortex-m4"], stack_bytes=16))
    assert "int policy_act_with(void *scratch, policy_state *state, const float *observation" in source.h
    assert f"#define POLICY_STATE_BYTES {4 * 4 * 6}" in source.h


def test_a_memory_that_no_contract_names_is_refused(policy: Policy) -> None:
    model = onnx.load_from_string(proven(policy).model)
    del model.metadata_props[:]
    with pytest.raises(NetworkError, match=r"(?s)memory.*'h_in'.*policypress export"):
        read_program(model)
