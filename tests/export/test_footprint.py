"""Flash and RAM of generated C."""

from __future__ import annotations

import shutil

import pytest
from small_policies import mlp, observations_of, quantized

from policypress.export import footprint as module
from policypress.export.footprint import footprint
from policypress.writers.onnx_writer import to_onnx
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.codegen.render import Source, render
from policypress_runtime.codegen.targets import TARGETS


def source_of(target: str, bits: int | None) -> Source:
    policy = mlp(hidden=64)
    if bits is not None:
        policy = quantized(policy, observations_of(policy.observation_space), bits)
    return render(read_program(to_onnx(policy)), TARGETS[target])


def test_narrow_weights_take_less_flash() -> None:
    sizes = [
        footprint(source_of("cortex-m4", bits), TARGETS["cortex-m4"], "policy").constants_bytes for bits in (None, 8, 4)
    ]
    # 5·64 + 64·64 + 64·8 + 8·3 weights, and what is not weights beside them.
    weights = 5 * 64 + 64 * 64 + 64 * 8 + 8 * 3
    assert weights * 4 < sizes[0] < weights * 4 * 1.2
    assert weights < sizes[1] < weights * 1.5
    assert weights // 2 < sizes[2] < weights * 0.9


@pytest.mark.usefixtures("every_kernel")
@pytest.mark.parametrize("target", TARGETS)
def test_code_is_measured_where_the_compiler_is(target: str) -> None:
    if shutil.which(TARGETS[target].compiler[0]) is None:
        pytest.skip(f"there is no {TARGETS[target].compiler[0]} on this machine")
    found = footprint(source_of(target, 8), TARGETS[target], "policy")
    assert found.code_bytes is not None
    assert 200 < found.code_bytes < 60_000
    assert found.flash_bytes == found.constants_bytes + found.code_bytes
    assert 0 < found.scratch_bytes <= found.batch_scratch_bytes


def test_code_is_unknown_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    found = footprint(source_of("cortex-m7", 8), TARGETS["cortex-m7"], "policy")
    assert found.code_bytes is None
    assert found.compiler is None
    assert found.flash_bytes == found.constants_bytes
