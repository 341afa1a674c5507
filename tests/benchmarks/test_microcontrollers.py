"""C for microcontrollers, built by Debian's cross-compilers and run: the same bits as here, within flash and RAM."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
for folder in ("benchmarks", "tests/codegen", "tests/policy"):
    sys.path.insert(0, str(ROOT / folder))

from compiled_policies import compiler, model_of  # noqa: E402
from microcontrollers import BOARDS, measure, missing_tools  # noqa: E402
from small_policies import mlp, observations_of, quantized, wide  # noqa: E402

from policypress.export.compiled_c import compiled  # noqa: E402
from policypress_runtime.codegen.reader import read_program  # noqa: E402
from policypress_runtime.codegen.render import render  # noqa: E402
from policypress_runtime.codegen.targets import TARGETS  # noqa: E402
from policypress_runtime.errors import NetworkError  # noqa: E402
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime  # noqa: E402


@pytest.mark.parametrize("name", BOARDS)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_board_acts_as_this_machine_does(name: str, activation: str, tmp_path: Path) -> None:
    if missing := missing_tools(name):
        pytest.skip(f"{', '.join(missing)}: not on this machine")
    plain = mlp(activation=activation)
    observations = observations_of(plain.observation_space, 60)
    model = model_of(quantized(plain, observations))
    program, contract = read_program(model), OnnxRuntime(model).contract
    source = render(program, TARGETS[name])
    here = tmp_path / "here"
    here.mkdir()
    with compiled(source, program, contract, (compiler(),), "policy") as runtime:
        assert runtime.use("plain")
        wanted = np.asarray(runtime.run_batch(observations[:6])["action"], np.float32)
    got = measure(source, TARGETS[name], observations[:6], tmp_path)
    assert np.array_equal(got.actions.view(np.uint32), wanted.view(np.uint32))
    assert 500 < got.spent < 400_000
    assert got.flash_bytes < 16_000
    assert source.sizes.scratch <= got.ram_bytes < 1000


def test_what_an_avr_cannot_address_is_refused() -> None:
    with pytest.raises(NetworkError, match=r"too large for avr[\s\S]*prune"):
        render(read_program(model_of(wide())), TARGETS["avr"])
