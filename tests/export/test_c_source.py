"""C artifacts: proven by running them, written whole, refused where they would do otherwise."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_policies import ACTIONS, KINDS, mlp, observations_of, quantized

from kernels_here import ONLY_HERE
from policypress.environments.batches import joined
from policypress.environments.extremes import extremes
from policypress.export import c_source
from policypress.export.c_source import ProvenSource, c_name, check_c_output, prove_c, publish_c
from policypress.export.compiled_c import compiled, run_compiler
from policypress.export.footprint import Footprint
from policypress.export.publish import ProvenArtifact, prove
from policypress.policy.policy import Policy
from policypress.seeding import generator
from policypress.study.export_agent import export_agent
from policypress.writers.onnx_writer import contract_of, to_onnx
from policypress_runtime.codegen import packing
from policypress_runtime.codegen.render import Source
from policypress_runtime.codegen.rendering.interface import Sizes
from policypress_runtime.codegen.targets import TARGETS
from policypress_runtime.errors import ExecutionError, OutputError, ParityError
from policypress_runtime.toolchain.compiler import compiler_command

needs_compiler = pytest.mark.skipif(compiler_command() is None, reason="there is no C compiler on this machine")


def proven(policy: Policy) -> tuple[ProvenArtifact, Any]:
    visited = observations_of(policy.observation_space, 100)
    observations = joined(visited, extremes(policy.observation_space, visited, 20, generator(0, "parity")))
    precision = "int8" if policy.quantized else "fp32"
    return prove(to_onnx(policy), contract_of(policy, "none", "", precision, "0"), policy, observations), observations


def policy_of(kind: str, action: str, bits: int | None) -> Policy:
    plain = KINDS[kind](ACTIONS[action])
    return plain if bits is None else quantized(plain, observations_of(plain.observation_space), bits)


@needs_compiler
@pytest.mark.usefixtures("every_kernel")
@pytest.mark.parametrize(
    ("kind", "action", "bits", "target"),
    [
        ("mlp", "box", 8, "host"),
        ("mlp", "multi_binary", None, "cortex-m4"),
        ("cnn", "discrete", 8, "aarch64"),
        ("mixed", "multi_discrete", 4, "freestanding"),
    ],
)
def test_the_c_passes_the_gate_of_the_file(
    kind: str, action: str, bits: int | None, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = compiler_command()
    assert compiler is not None
    monkeypatch.setenv("CC", shlex.join([*compiler, *ONLY_HERE]))
    artifact, observations = proven(policy_of(kind, action, bits))
    result = prove_c(artifact, observations, TARGETS[target], "policy")
    assert result.parity is not None
    assert result.parity.share_within >= 0.999
    assert "plain" in result.kernels
    publish_c(result, tmp_path / "policy.c")
    assert {path.name for path in tmp_path.iterdir()} == {"policy.c", "policy.h"}
    run_compiler([*compiler, "-O1", *ONLY_HERE, "-DPOLICY_SELFTEST", "policy.c", "-o", "selftest"], tmp_path)
    run = subprocess.run([tmp_path / "selftest"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    assert "16 observations: passed" in run.stdout


@needs_compiler
@pytest.mark.parametrize("bits", [None, 8])
def test_c_that_does_otherwise_is_caught(bits: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact, observations = proven(policy_of("mlp", "box", bits))

    def wrong(vector: Any, layout: packing.Layout) -> Any:
        return np.pad(vector, (0, layout.padded(len(vector)) - len(vector))) * np.asarray(1.02, vector.dtype)

    monkeypatch.setattr(packing, "pack_vector", wrong)
    with pytest.raises(ParityError):
        prove_c(artifact, observations, TARGETS["freestanding"], "policy")


def test_without_a_compiler_the_c_is_written_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c_source, "compiler_command", lambda: None)
    artifact, observations = proven(policy_of("mlp", "discrete", 8))
    result = prove_c(artifact, observations, TARGETS["cortex-m4"], "gait")
    assert result.parity is None
    assert result.kernels == ()
    assert "the C was not run" in result.notices[0]
    assert "-DGAIT_SELFTEST" in result.notices[0]
    assert "#ifdef GAIT_SELFTEST" in result.source.c


@needs_compiler
def test_working_memory_of_the_caller() -> None:
    """Proven like any other C, and said."""
    artifact, observations = proven(policy_of("mlp", "box", 8))
    result = prove_c(artifact, observations, replace(TARGETS["cortex-m4"], stack_bytes=16), "policy")
    assert "policy_act_with(void *scratch" in result.source.h
    assert result.footprint.scratch_given
    assert any("how the caller provides it" in notice for notice in result.notices)
    assert result.parity is not None
    assert result.parity.share_within >= 0.999


def test_files_of_onnx_runtime_s_quantizers_are_proven_against_the_file() -> None:
    artifact, observations = proven(policy_of("mlp", "box", 8))
    result = prove_c(replace(artifact, policy=None), observations, TARGETS["freestanding"], "policy")
    assert result.parity is not None
    assert result.parity.max_error < 1e-3


def test_names_of_files_become_names_in_c() -> None:
    for file, name in (
        ("policy.c", "policy"),
        ("My Ant-v4.c", "my_ant_v4"),
        ("4bit.c", "policy_4bit"),
        ("..c", "policy"),
    ):
        assert c_name(Path(file)) == name


@needs_compiler
def test_c_that_does_not_compile_is_an_error_of_ours() -> None:
    artifact, observations = proven(mlp())
    result = prove_c(artifact, observations, TARGETS["freestanding"], "policy")
    broken = replace(result.source, c="int broken(\n" + result.source.c)
    compiler = compiler_command()
    assert compiler is not None
    from policypress_runtime.codegen.reader import read_program

    with (
        pytest.raises(ExecutionError, match="does not accept"),
        compiled(broken, read_program(artifact.model), artifact.contract, compiler, "policy"),
    ):
        pass


@pytest.mark.slow
@pytest.mark.shared
@needs_compiler
@pytest.mark.parametrize("recipe", ["none", "equalize > int8", "prune(l2, 0.5) > equalize > int8", "ptdq", "ptsq"])
def test_real_agents(shared_agent: Path, recipe: str, tmp_path: Path) -> None:
    """Every kernel set of this machine passes the gate on visited and extreme observations."""
    exported = export_agent(shared_agent, tmp_path / "policy.c", recipe)
    assert exported.c is not None
    assert "plain" in exported.c.kernels
    assert exported.parity.share_within >= 0.999
    # Rounding ties of int8 leave golden vectors enough.
    assert "#define GOLDEN_COUNT 16" in exported.c.source.c


def fake_source(name: str) -> ProvenSource:
    """Files as ``publish_c`` writes them, without the minutes that proving takes."""
    c = f'/* A policy written by policypress; {name}.h says how to call it. */\n#include "{name}.h"\n'
    h = "/* A policy written by policypress. Generated: do not edit. */\n"
    size = Footprint("host", 0, None, 0, 0, None)
    return ProvenSource(Source(c, h, None, "", Sizes(0, 0, 0), ("plain",)), name, size, None, (), ())


def write_c(path: Path) -> None:
    publish_c(fake_source(c_name(path)), path)


@pytest.mark.parametrize("second", ["a;b.c", "a-b.c", "A b.c", "a_b.c", "a..b.c"])
def test_two_files_do_not_share_a_header(second: str, tmp_path: Path) -> None:
    first = tmp_path / "a b.c"
    write_c(first)
    write_c(first)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OutputError, match=r"same header[\s\S]*-o a_b_2\.c") as refused:
        write_c(tmp_path / second)
    with pytest.raises(OutputError):
        check_c_output(tmp_path / second)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert refused.value.hint is not None
    write_c(tmp_path / "a_b_2.c")
    write_c(tmp_path / "another folder" / second)


def test_a_header_of_the_user_s_own_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "gait.h").write_text("int gait(void);\n")
    with pytest.raises(OutputError, match=r"did not write[\s\S]*-o gait_2\.c"):
        write_c(tmp_path / "gait.c")
    assert (tmp_path / "gait.h").read_text() == "int gait(void);\n"
    assert not (tmp_path / "gait.c").exists()
    write_c(tmp_path / "gait_2.c")


@pytest.mark.parametrize(("file", "name"), [("math.c", "policy_math"), ("x" * 200 + ".c", "x" * 80), ("é.c", "policy")])
def test_names_that_headers_cannot_have(file: str, name: str) -> None:
    assert c_name(Path(file)) == name
