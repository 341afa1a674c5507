"""The C that describes a policy's arrays."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from small_policies import ACTIONS, KINDS, mixed, mlp

from policypress.policy.policy import Policy
from policypress.writers.onnx_writer import contract_of
from policypress_runtime.contract import Contract, TensorSpec
from policypress_runtime.runtimes.native.binding import binding_source, expected


def contract(policy: Policy) -> Contract:
    return contract_of(policy, "none", "", "fp32", "0")


def defined(source: str) -> dict[str, str]:
    return dict(re.findall(r"^#define (PB_\w+) (.*)$", source, re.MULTILINE))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("action", ACTIONS)
def test_macros(kind: str, action: str) -> None:
    policy = KINDS[kind](ACTIONS[action])
    found = defined(binding_source(contract(policy), "mine"))
    assert found["PB_MODULE"] == "mine"
    assert int(found["PB_INPUTS"]) == len(contract(policy).inputs)
    assert found["PB_ACTION_ELEMENT"] == ("float" if action == "box" else "int32_t")
    assert found["PB_ACTION_SCALAR"] == str(int(action in ("discrete", "from_two")))
    assert (int(found["PB_SCORES"]) > 0) == (action != "box")


def test_the_contract_comes_back_from_the_c_string() -> None:
    """Whatever a file says stays inside the string."""
    hostile = replace(contract(mlp()), algorithm='"; system("x"); // \\ ?? ä')
    source = binding_source(hostile, "mine")
    text = source[source.index("pb_contract[] =") :].split(";\n", 1)[0]
    assert '"x"' not in text
    pieces = re.findall(r'"((?:[^"\\]|\\[0-7]{3})*)"', text)
    joined = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), "".join(pieces))
    assert Contract.from_json(json.loads(joined)) == hostile


def test_large_inputs_are_not_converted_on_the_stack() -> None:
    wide = replace(contract(mlp()), inputs=(TensorSpec("observation", "float32", (100_000,)),))
    assert defined(binding_source(wide, "mine"))["PB_CONVERTED_BYTES"] == "1"
    assert "pb_shape_0, -1}" in binding_source(wide, "mine")


def test_actions_and_inputs_that_are_too_many() -> None:
    """They lie on the stack; ONNX Runtime acts with such a policy."""
    one = contract(mlp())
    with pytest.raises(ValueError, match="an action of 5000 numbers"):
        binding_source(replace(one, outputs=(TensorSpec("action", "float32", (5000,)),)), "mine")
    parts = tuple(TensorSpec(f"observation.k{i}", "float32", (1,)) for i in range(100))
    with pytest.raises(ValueError, match="100 inputs"):
        binding_source(replace(one, inputs=parts), "mine")


def test_a_dtype_that_no_artifact_has() -> None:
    odd = replace(contract(mlp()), inputs=(TensorSpec("observation", "float16", (5,)),))
    with pytest.raises(KeyError, match="float16"):
        binding_source(odd, "mine")


def test_observations_in_words() -> None:
    assert expected(contract(mlp()).inputs) == "float32 of shape (5,)"
    assert expected(contract(mixed()).inputs).startswith("a dict of camera: uint8 of shape (2, 12, 10), ")
