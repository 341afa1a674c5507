from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from checkpoint_policies import ACTION_BOX, POLICIES, dqn, materials_for, sac
from policypress import __version__
from policypress.compression import pipeline
from policypress.compression.pipeline import (
    PLAIN_SESSIONS,
    CalibrationData,
    action_error,
    build_artifact,
    session_notices,
)
from policypress.compression.recipe import Recipe
from policypress.export.parity import to_tensors
from policypress.measurement.evaluation import runtime_of
from policypress.policy.policy import Policy
from policypress.writers.onnx_writer import to_onnx
from policypress_runtime.contract import box
from policypress_runtime.errors import ParityError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime

RECIPES = (
    "none",
    "ptdq",
    "ptsq",
    "ptdq(weights=fp32)",
    "ptsq(weights=fp32)",
    "int8",
    "equalize > int8",
    "equalize > ptsq",
    "prune(l2, 0.3)",
    "prune(l1, 0.5) > equalize > int8",
)


@pytest.mark.parametrize("text", RECIPES)
@pytest.mark.parametrize("name", ["sac", "cnn_dqn", "dict_td3"])
def test_a_record_says_what_was_built(name: str, text: str) -> None:
    policy, recipe = POLICIES[name](), Recipe.parse(text)
    compressed = build_artifact(policy, recipe, materials_for(policy, 64))
    record, contract = compressed.record, compressed.artifact.contract
    assert (record.recipe, record.recipe_hash, record.path) == (recipe.text, recipe.hash, f"{recipe.slug}.onnx")
    assert (contract.recipe, contract.recipe_hash) == (recipe.text, recipe.hash)
    assert contract.policypress_version == __version__
    assert record.sha256 == hashlib.sha256(compressed.artifact.model).hexdigest()
    assert record.file_bytes == len(compressed.artifact.model) > record.packed_bytes
    assert record.parameter_ratio == pytest.approx(1 - record.parameters / policy.parameter_count())
    assert record.parity_max_error == compressed.artifact.parity.max_error
    assert record.build_s > 0
    pruned = text.startswith("prune")
    assert (record.channel_ratio > 0) == (record.macs < policy.macs()) == (record.parameter_ratio > 0) == pruned
    assert OnnxRuntime(compressed.artifact.model).contract == contract


def test_packed_bytes_are_what_a_device_holds() -> None:
    policy = sac()
    materials = materials_for(policy, 64)
    packed = {
        text: build_artifact(policy, Recipe.parse(text), materials).record.packed_bytes for text in ("none", "int8")
    }
    weights = sum(layer.weight.numel() for _, layer in policy.weighted_layers())
    biases = policy.parameter_count() - weights
    outside = 4 * (2 + 3 + 3)  # the constants 1 and ½, span and low of the action
    assert packed["none"] == 4 * policy.parameter_count() + outside
    # Per layer a scale and a zero point of its input (equal ones are one); per channel a scale.
    scales = 3 * (4 + 1) + 4 * biases
    assert packed["int8"] == pytest.approx(weights + 4 * biases + scales + outside, abs=2)


@pytest.mark.parametrize("text", RECIPES)
def test_pressing_twice_gives_the_same_bytes(text: str) -> None:
    models = []
    for _ in range(2):
        policy = sac()
        models.append(build_artifact(policy, Recipe.parse(text), materials_for(policy, 64)).artifact.model)
    assert models[0] == models[1]


def test_another_calibration_gives_other_scales() -> None:
    policy = sac()
    first, second = (build_artifact(policy, Recipe.parse("int8"), materials_for(policy, 64, seed)) for seed in (0, 1))
    assert first.record.sha256 != second.record.sha256


def test_the_policy_that_is_pressed_stays() -> None:
    policy = sac()
    before = {key: value.clone() for key, value in policy.state_dict().items()}
    for text in RECIPES:
        build_artifact(policy, Recipe.parse(text), materials_for(policy, 64))
    assert not policy.quantized
    assert all(torch.equal(value, before[key]) for key, value in policy.state_dict().items())


def shifted(policy: Policy, by: float) -> Policy:
    """A policy whose last layer is off by ``by``."""
    result = policy.clone()
    layer = list(result.weighted_layers())[-1][1]
    with torch.no_grad():
        layer.bias += by
    return result


def file_of(policy: Policy) -> bytes:
    return build_artifact(policy, Recipe(), materials_for(policy, 64)).artifact.model


def test_action_error_of_actions_is_a_share_of_their_range() -> None:
    policy = sac()
    observations = materials_for(policy, 64).held_out
    other = shifted(policy, 0.3)
    with torch.no_grad():
        difference = (policy(to_tensors(observations)) - other(to_tensors(observations))).abs().numpy()
    low, high = ACTION_BOX.bounds()
    expected = (difference / (high - low)).mean()
    assert action_error(policy, file_of(other), observations) == pytest.approx(expected, rel=1e-4)
    assert action_error(policy, file_of(policy), observations) < 1e-6


def test_action_error_of_unbounded_actions_is_a_share_of_those_seen() -> None:
    policy, other = sac(), shifted(sac(), 0.3)
    observations = materials_for(policy, 64).held_out
    file = file_of(other)
    bounded = action_error(policy, file, observations)
    policy.action_space = box((3,), "float32", -np.inf, np.inf)
    assert action_error(policy, file, observations) > bounded


def test_action_error_of_decisions_is_the_share_that_differ() -> None:
    policy, other = dqn(), dqn(seed=1)
    observations = materials_for(policy, 64).held_out
    runtime = runtime_of(other)
    with torch.no_grad():
        wanted = policy(to_tensors(observations)).numpy()
    expected = float((runtime.act_batch(observations) != wanted).mean())
    assert 0 < expected < 1
    assert action_error(policy, file_of(other), observations) == expected


def test_nothing_comes_out_that_parity_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "to_onnx", lambda policy: to_onnx(shifted(policy, 0.01)))
    with pytest.raises(ParityError, match="nothing was written"):
        build_artifact(sac(), Recipe.parse("equalize > int8"), materials_for(sac(), 64))


def test_what_the_user_should_know_is_in_the_record() -> None:
    policy = sac()
    policy.origin = replace(policy.origin, notices=("HalfCheetah-v3 no longer exists",))
    assert build_artifact(policy, Recipe(), materials_for(policy, 64)).record.notices == policy.origin.notices


def test_observations_of_a_dict_are_materials_too() -> None:
    policy = POLICIES["dict_td3"]()
    materials = materials_for(policy, 32)
    assert isinstance(materials, CalibrationData)
    model = onnx.load_from_string(build_artifact(policy, Recipe.parse("int8"), materials).artifact.model)
    assert [value.name for value in model.graph.input] == ["observation.camera", "observation.vector"]


def test_features_that_never_moved_are_told_where_something_is_quantized() -> None:
    policy = sac()
    materials = materials_for(policy, 64)
    still = np.array(materials.calibration)
    still[:, 1] = 0.25
    materials = replace(materials, calibration=still)
    (notice,) = build_artifact(policy, Recipe.parse("int8"), materials).record.notices
    assert notice.startswith("Observation feature 1 never changed in the calibration data")
    assert build_artifact(policy, Recipe(), materials).record.notices == ()
    assert build_artifact(policy, Recipe.parse("int8"), materials_for(policy, 64)).record.notices == ()


@pytest.mark.parametrize(
    ("recipe", "told"),
    [("none", False), ("prune(l2, 0.5)", False), ("int8", True), ("ptsq", True), ("gptq(4)", False), ("gptq(8)", True)],
)
def test_plain_sessions_are_told_of_8_bits(recipe: str, told: bool) -> None:
    assert session_notices([Recipe.parse(recipe)]) == ((PLAIN_SESSIONS,) if told else ())
