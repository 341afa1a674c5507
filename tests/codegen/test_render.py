"""The generated text: no warning from two compilers, no finding of the sanitizers, every form of it alike."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled_policies import (
    STRICT,
    Compiled,
    agreement,
    compiler,
    model_of,
    observations_for,
    source_of,
    written,
)
from small_policies import ACTIONS, KINDS, cnn, mixed, mlp, quantized, wide

from kernels_here import ONLY_HERE, PLAIN_ALONE
from policypress.policy.policy import Policy
from policypress_runtime.codegen import kernels, render
from policypress_runtime.codegen.render import Source
from policypress_runtime.codegen.rendering.constants import Constants, number
from policypress_runtime.codegen.rendering.selftest import Goldens
from policypress_runtime.codegen.targets import TARGETS
from policypress_runtime.errors import InputError, NetworkError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime


def policy_of(kind: str, action: str, bits: int | None, activation: str = "relu") -> tuple[Policy, Any]:
    plain = KINDS[kind](ACTIONS[action], activation=activation)
    observations = observations_for(plain)
    return (plain if bits is None else quantized(plain, observations, bits)), observations


def goldens_of(policy: Policy, observations: Any) -> Goldens:
    model = model_of(policy)
    want = OnnxRuntime(model).run_batch(observations)
    compared = want.get("scores", want["action"])
    parts = observations if isinstance(observations, dict) else {"": observations}
    order = [spec.name.partition(".")[2] for spec in policy.inputs.values()]
    inputs = tuple(np.asarray(parts[key]) for key in order)
    return Goldens(inputs, want["action"], want.get("scores"), np.full(compared.shape, 1e-4 * np.ptp(compared)))


def assert_no_warning(source: Source, folder: Path, cc: str, define: str, *more: str) -> None:
    file = written(source, folder)
    # clang gives all its warnings before it optimises, gcc some of them only then.
    how = ["-fsyntax-only"] if cc == "clang" else ["-O2", "-c", "-o", folder / "policy.o"]
    command = [compiler(cc), *STRICT, f"-D{define}", *more, *how, file]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[:3000]


@pytest.mark.parametrize("cc", ["gcc", "clang"])
@pytest.mark.parametrize("target", ["host", "cortex-m4"])
def test_no_warning(cc: str, target: str, tmp_path: Path) -> None:
    policy, observations = policy_of("mixed", "multi_binary", 8, "gelu")
    source = source_of(model_of(policy), target, goldens=goldens_of(policy, observations))
    # Every kernel set with the self-test, which calls them all; of the rest only what differs.
    assert_no_warning(source, tmp_path, cc, "NOTHING", "-DPOLICY_ONLY_PLAIN")
    assert_no_warning(source, tmp_path, cc, "POLICY_SELFTEST", *ONLY_HERE)


@pytest.mark.slow
@pytest.mark.parametrize("cc", ["gcc", "clang"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("kind", "action", "bits"), [("mlp", "box", 8), ("cnn", "discrete", 4), ("mixed", "box", None)]
)
def test_no_warning_in_any_form(cc: str, target: str, kind: str, action: str, bits: int | None, tmp_path: Path) -> None:
    policy, observations = policy_of(kind, action, bits, "silu")
    source = source_of(model_of(policy), target, goldens=goldens_of(policy, observations))
    for define in ("NOTHING", "POLICY_SELECTABLE", "POLICY_SELFTEST"):
        assert_no_warning(source, tmp_path, cc, define)


@pytest.mark.parametrize(
    ("kind", "action", "bits"),
    [("mlp", "box", 8), ("cnn", "multi_discrete", 4), ("mixed", "multi_binary", 8), ("mixed", "box", None)],
)
def test_the_self_test_passes_under_sanitizers(kind: str, action: str, bits: int | None, tmp_path: Path) -> None:
    policy, observations = policy_of(kind, action, bits)
    file = written(source_of(model_of(policy), goldens=goldens_of(policy, observations)), tmp_path)
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1", "-DPOLICY_SELFTEST"]
    flags += ONLY_HERE if kind == "mlp" else PLAIN_ALONE
    command = [compiler(), *STRICT, *flags, file, "-o", tmp_path / "selftest"]
    assert subprocess.run(command, capture_output=True, text=True).stderr == ""
    run = subprocess.run([tmp_path / "selftest"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "plain: passed" in run.stdout
    assert "FAILED" not in run.stdout
    assert ("refused" in run.stdout) == (kind != "cnn")


@pytest.mark.parametrize(
    ("kind", "action", "bits", "target"), [("cnn", "discrete", 8, "host"), ("mixed", "box", None, "cortex-m4")]
)
def test_working_memory_of_the_caller(
    kind: str, action: str, bits: int | None, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too large for the stack: one observation, or a batch alone; under sanitizers, and without a warning."""
    policy, observations = policy_of(kind, action, bits)
    model, goldens = model_of(policy), goldens_of(policy, observations)
    on_stack = source_of(model, target).sizes
    assert (on_stack.given, on_stack.batch_given) == (False, False)
    for stack_bytes, given in ((16, (True, True)), (on_stack.scratch, (False, target == "host"))):
        monkeypatch.setitem(TARGETS, target, replace(TARGETS[target], stack_bytes=stack_bytes))
        source = source_of(model, target, goldens=goldens)
        assert (source.sizes.given, source.sizes.batch_given) == given
        assert ("policy_act_with(void *scratch, const" in source.h) == given[0]
        assert ("policy_act_batch_with(void *scratch, const" in source.h) == given[1]
        assert ("#define POLICY_SCRATCH_IS_GIVEN 1" in source.h) == given[0]
        assert_no_warning(source, tmp_path, "clang", "POLICY_SELFTEST", *PLAIN_ALONE)
        flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", *PLAIN_ALONE, "-DPOLICY_SELFTEST"]
        command = [compiler(), *STRICT, *flags, tmp_path / "policy.c", "-o", tmp_path / "selftest"]
        assert subprocess.run(command, capture_output=True, text=True).stderr == ""
        run = subprocess.run([tmp_path / "selftest"], capture_output=True, text=True)
        assert (run.returncode, "plain: passed" in run.stdout) == (0, True), run.stdout + run.stderr
        assert agreement(model, Compiled.of(model, tmp_path / f"{stack_bytes}", target=target), observations) == 1.0


def test_a_network_that_needs_too_much_memory_has_no_c(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(mlp())
    monkeypatch.setattr(render, "MOST_SCRATCH_BYTES", 16)
    with pytest.raises(NetworkError, match="more working memory") as refused:
        source_of(model)
    assert "under ONNX Runtime" in str(refused.value.hint)


@pytest.mark.parametrize("target", TARGETS)
def test_what_lies_on_the_stack_is_bounded(target: str) -> None:
    """Whatever the policy; what is on the stack is said in the header, and what is not comes from the caller."""
    fitting = (mlp(),) if target == "avr" else (mlp(), mlp(hidden=300), wide(inputs=1000), wide(inputs=25_000))
    for policy in fitting:
        sizes = source_of(model_of(policy), target, constants="incbin").sizes
        own = max(kernel.stack_bytes for kernel in kernels.sets_of(target))
        for given, taken in ((sizes.given, sizes.scratch), (sizes.batch_given, sizes.batch_scratch)):
            assert given or taken <= TARGETS[target].stack_bytes + own
    assert sizes.given or target == "avr"


def test_the_self_test_finds_a_wrong_weight(tmp_path: Path) -> None:
    policy, observations = policy_of("mlp", "box", 8)
    source = source_of(model_of(policy), goldens=goldens_of(policy, observations))
    file = written(source, tmp_path)
    text = file.read_text()
    at = text.index("_weight[")
    first = text.index("{", at)
    end = text.index(",", first)
    file.write_text(text[: first + 1] + str(-int(text[first + 1 : end]) - 1) + text[end:])
    subprocess.run(
        [compiler(), "-O1", *PLAIN_ALONE, "-DPOLICY_SELFTEST", file, "-o", tmp_path / "selftest"], check=True
    )
    run = subprocess.run([tmp_path / "selftest"], capture_output=True, text=True)
    assert run.returncode == 1
    assert "FAILED" in run.stdout


@pytest.mark.parametrize(
    ("target", "bits"), [("aarch64", 8), ("cortex-m4", 4), ("cortex-m7", 8), ("freestanding", None)]
)
def test_every_layout_does_the_same(target: str, bits: int | None, tmp_path: Path) -> None:
    policy, observations = policy_of("cnn", "discrete", bits)
    model = model_of(policy)
    host, other = (Compiled.of(model, tmp_path / name, target=name) for name in ("host", target))
    assert host.use("plain")
    if bits is None:
        assert agreement(model, other, observations) == 1.0
    else:
        np.testing.assert_array_equal(host.run(observations)[1], other.run(observations)[1])


@pytest.mark.parametrize("cc", ["gcc", "clang"])
@pytest.mark.parametrize(("kind", "bits"), [("cnn", 8), ("mixed", None)])
def test_freestanding_c_calls_nothing(cc: str, kind: str, bits: int | None, tmp_path: Path) -> None:
    compiler("nm")
    policy, _ = policy_of(kind, "multi_discrete", bits, "gelu")
    file = written(source_of(model_of(policy), "freestanding"), tmp_path)
    for level in ("-O2", "-O3", "-Os"):
        command = [compiler(cc), "-std=c99", "-ffreestanding", level, "-c", file, "-o", tmp_path / "p.o"]
        subprocess.run(command, check=True)
        wanted = subprocess.run(["nm", "-u", tmp_path / "p.o"], capture_output=True, text=True, check=True).stdout
        assert wanted.split() == [], level


def test_constants_in_a_file_of_their_own(tmp_path: Path) -> None:
    policy, observations = policy_of("mixed", "discrete", 8)
    model = model_of(policy)
    inside = Compiled.of(model, tmp_path / "text")
    beside = Compiled.of(model, tmp_path / "incbin", constants="incbin")
    np.testing.assert_array_equal(inside.run(observations)[1], beside.run(observations)[1])
    assert len((tmp_path / "incbin" / "policy.c").read_text()) < len((tmp_path / "text" / "policy.c").read_text())


@pytest.mark.parametrize("bits", [8, 4])
def test_every_kernel_set_of_this_machine_gives_the_same_bits(bits: int, tmp_path: Path) -> None:
    policy, observations = policy_of("mlp", "discrete", bits)
    compiled = Compiled.of(model_of(policy), tmp_path, "-O1", *ONLY_HERE)
    assert compiled.use("plain")
    want = [compiled.run(observations, batch=batch)[1] for batch in (True, False)]
    np.testing.assert_array_equal(*want)
    for kernel in source_of(model_of(policy)).kernels:
        if compiled.use(kernel):
            assert compiled.kernel == kernel
            for batch in (True, False):
                np.testing.assert_array_equal(compiled.run(observations, batch=batch)[1], want[0], err_msg=kernel)


# Fills the stack with subnormal numbers, acts, and asks the processor whether it computed with one.
STALE_STACK = """
#include <immintrin.h>
static void fill(void)
{
    volatile uint32_t stale[1 << 16];
    for (int i = 0; i < 1 << 16; i++)
        stale[i] = 1;
}
int main(void)
{
    static float observations[5 * POLICY_OBSERVATION_SIZE], actions[5 * POLICY_ACTION_SIZE];
    for (int i = 0; i < 5 * POLICY_OBSERVATION_SIZE; i++)
        observations[i] = 0.25f;
    fill();
    _mm_setcsr(_mm_getcsr() & ~0x3Fu);
    (void)policy_act_batch(observations, actions, 5);
    return (_mm_getcsr() & 2u) != 0;
}
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="asks a register of x86")
def test_what_lies_on_the_stack_is_not_computed_with(tmp_path: Path) -> None:
    """Subnormal numbers behind the scores, in lanes that nobody reads, took a batch of 64 from 6 to 18 us."""
    policy, _ = policy_of("mlp", "box", 8, "tanh")
    file = written(source_of(model_of(policy)), tmp_path)
    file.write_text(file.read_text() + STALE_STACK)
    subprocess.run([compiler(), "-O2", *PLAIN_ALONE, file, "-o", tmp_path / "stale"], check=True)
    assert subprocess.run([tmp_path / "stale"]).returncode == 0


@pytest.mark.parametrize("batch", [True, False])
def test_what_is_not_finite_leaves_the_action_untouched(batch: bool, tmp_path: Path) -> None:
    policy = mlp()
    observations = observations_for(policy)
    broken = observations.copy()
    broken[[0, 5, 6, 69], [0, 4, 2, 3]] = [np.nan, np.inf, -np.inf, np.nan]
    compiled = Compiled.of(model_of(policy), tmp_path)
    want, _, clean = compiled.run(observations, batch=batch)
    got, _, status = compiled.run(broken, batch=batch)
    assert status & 2
    assert not clean & 2
    bad = np.zeros(len(got), np.bool_)
    bad[[0, 5, 6, 69]] = True
    assert (got[bad] == 7).all()
    np.testing.assert_allclose(got[~bad], want[~bad], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bits", [None, 8])
def test_observations_beyond_what_was_seen_are_reported(bits: int | None, tmp_path: Path) -> None:
    """The normaliser's clip in fp32, the first quantizer's range in int8; the action is what ONNX Runtime's is."""
    policy, observations = policy_of("mlp", "box", bits)
    compiled = Compiled.of(model_of(policy), tmp_path)
    assert compiled.run(observations)[2] == 0
    far = observations * 1e4
    assert compiled.run(far)[2] == 1
    assert agreement(policy, compiled, far) > 0.99


def test_images_that_saturate_are_reported(tmp_path: Path) -> None:
    plain = cnn()
    dark = observations_for(plain) // 2
    policy = quantized(plain, dark)
    compiled = Compiled.of(model_of(policy), tmp_path)
    assert compiled.run(dark)[2] == 0
    bright = dark.copy()
    bright[3, 1, 2, 2] = 255
    assert compiled.run(bright)[2] == 1


def test_a_mixed_policy_takes_one_pointer_per_key_in_the_contract_s_order() -> None:
    header = source_of(model_of(mixed())).h
    wanted = "const uint8_t *observation_camera, const float *observation_speed, const int32_t *observation_gear"
    assert wanted in header


def test_the_header_holds_the_contract() -> None:
    header = source_of(model_of(mlp(algorithm="sac"))).h
    for words in (
        "Algorithm: sac",
        "normalise",
        "[-0.4, 0.4] [-2, 1] [0.1, 7.3]",
        "POLICY_SCRATCH_BYTES",
        "each in [-inf",
    ):
        assert words in header


def test_nothing_of_a_file_ends_the_comment() -> None:
    source = source_of(model_of(mlp(algorithm="*/ int main(void) { /*")))
    plain = source_of(model_of(mlp(algorithm="x")))
    assert source.h.count("*/") == source.h.count("/*") == plain.h.count("*/")
    assert "*/ int main" not in source.h


@pytest.mark.parametrize("name", ["Policy", "2fast", "a-b", ""])
def test_names_that_are_no_prefix_are_refused(name: str) -> None:
    from policypress_runtime.codegen.reader import read_program
    from policypress_runtime.codegen.render import render

    with pytest.raises(InputError, match="prefix of C names"):
        render(read_program(model_of(mlp())), TARGETS["host"], name)


def test_numbers_read_back_as_the_same_float() -> None:
    for value in (0.1, 1.0, -2.5e-39, 3.4e38, 16777216.0, 1e-45):
        text = number(value).strip("()").removesuffix("f")
        assert np.float32(text) == np.float32(value)
        assert any(c in text for c in ".e")
    with pytest.raises(NetworkError, match="not a number"):
        number(float("nan"))


def test_equal_constants_are_stored_once() -> None:
    table = Constants("policy")
    first = table.add("a", np.ones(3, np.float32))
    assert table.add("b", np.ones(3, np.float32)) == first
    assert table.add("c", np.ones(3, np.int32)) != first
    assert table.size_bytes == 24
