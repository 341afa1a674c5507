from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drifting_environment import rollouts_for
from torch import nn

from checkpoint_policies import POLICIES, VECTOR, dqn, materials_for, observations_of, sac
from policypress import seeding
from policypress.compression.distillation.distill import Distill
from policypress.compression.pipeline import CalibrationData, CompressedPolicy, build_artifact
from policypress.compression.recipe import Recipe
from policypress.compression.step import Context, Stage
from policypress.engine.tasks.calibration import Calibration
from policypress.export.parity import to_tensors
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.measurement.evaluation import runtime_of
from policypress.measurement.returns import measure_returns
from policypress.policy.identity import fingerprint
from policypress.policy.layers import Activation, Affine
from policypress.policy.policy import Policy
from policypress_runtime.contract import Box, MultiBinary, box
from policypress_runtime.errors import ObservationError, RecipeError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime

SHORT = "steps=48, states=200, rounds=2"


def materials(policy: Policy) -> CalibrationData:
    return replace(materials_for(policy), rollouts=rollouts_for(policy))


def compressed(policy: Policy, recipe: str, seed: int = 0) -> CompressedPolicy:
    return build_artifact(policy, Recipe.parse(recipe), materials(policy), seed)


def student(policy: Policy, step: Distill, seed: int = 0) -> Policy:
    calibration = observations_of(policy.observation_space, 128)
    return step.apply(policy, Context(calibration, seed, policy, rollouts_for(policy)))


@pytest.mark.parametrize("name", POLICIES)
def test_every_kind_of_policy_is_distilled_into_integers(name: str) -> None:
    policy = POLICIES[name]()
    before = fingerprint(policy)
    done = compressed(policy, f"prune(l2, 0.5) > equalize > distill(dagger, w=8, a=8, {SHORT})")
    assert done.artifact.contract.precision == "int8"
    assert done.artifact.parity.share_within >= 0.999
    assert done.record.channel_ratio == pytest.approx(0.5, abs=0.1)
    assert fingerprint(policy) == before


@pytest.mark.parametrize("name", POLICIES)
def test_every_kind_of_policy_has_a_small_student(name: str) -> None:
    policy = POLICIES[name]()
    done = compressed(policy, f"distill(dagger, w=6, a=6, hidden=[8,6], {SHORT})")
    assert done.record.parameters < policy.parameter_count()
    assert [role for role in done.artifact.contract.folded if role != "standardise"] == list(policy.folded())


def test_a_student_that_is_not_smaller_is_told() -> None:
    policy = dqn()
    for width, told in ((8, False), (2048, True)):
        done = compressed(policy, f"distill(cloning, w=8, a=8, hidden=[{width}], steps=2, states=100)")
        assert any("is not smaller" in notice for notice in done.record.notices) == told
    (notice,) = [notice for notice in done.record.notices if "is not smaller" in notice]
    assert f"{done.record.packed_bytes} packed bytes" in notice


def bits() -> Policy:
    torch.manual_seed(0)
    return Policy.from_module(nn.Sequential(nn.Linear(8, 16), nn.ELU(), nn.Linear(16, 3)), VECTOR, MultiBinary(3))


def module() -> Policy:
    torch.manual_seed(0)
    network = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.PReLU(), nn.Linear(16, 2))
    return Policy.from_module(network, VECTOR, box((2,), "float32", -float("inf"), float("inf")))


@pytest.mark.parametrize("build", [bits, module])
@pytest.mark.parametrize("hidden", ["", ", hidden=[8]"])
def test_a_users_own_network_is_distilled(build: type[Policy], hidden: str) -> None:
    done = compressed(build(), f"distill(dagger, w=8, a=8, {SHORT}{hidden})")
    assert done.artifact.parity.share_within >= 0.999
    assert done.record.action_error is not None


def test_the_student_imitates() -> None:
    policy = sac()
    pruned = compressed(policy, "prune(l2, 0.5) > equalize > int8").record.action_error
    taught = compressed(
        policy, "prune(l2, 0.5) > equalize > distill(dagger, w=8, a=8, steps=400, states=600, rounds=2)"
    )
    assert pruned is not None
    assert taught.record.action_error is not None
    assert taught.record.action_error < 0.4 * pruned


def test_a_student_of_scores_agrees() -> None:
    policy = dqn()
    taught = compressed(policy, "distill(dagger, w=8, a=8, hidden=[24,24], steps=600, states=1500, rounds=2)")
    random = compressed(policy, "distill(dagger, w=8, a=8, hidden=[24,24], steps=1, states=100, rounds=1)")
    assert taught.record.action_error is not None
    assert random.record.action_error is not None
    assert taught.record.action_error < 0.3 < 0.5 < random.record.action_error


def test_it_depends_on_the_seed_alone() -> None:
    step = Distill("dagger", 8, 8, (6,), steps=40, states=100, rounds=2)
    threads = torch.get_num_threads()
    first, again, other = (fingerprint(student(sac(), step, seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert torch.get_num_threads() == threads


def test_few_bits_are_few_integers() -> None:
    policy = student(sac(), Distill("dagger", 3, 4, steps=30, states=100, rounds=1))
    for _, layer in policy.weighted_layers():
        weight, read = layer.quant.weight, layer.quant.input
        assert weight is not None
        assert read is not None
        assert (weight.bits, weight.highest, read.bits, read.highest) == (3, 3, 4, 15)
        assert layer.quant.bias is not None


def test_in_float_it_leaves_nothing_behind_but_the_network() -> None:
    policy = sac()
    result = student(policy, Distill("cloning", steps=30, states=100, rounds=1, hidden=(6,), activation="tanh"))
    assert not result.quantized
    assert result.folded() == policy.folded()
    assert not any(isinstance(layer, Affine) for layer in result.layers.values())
    kinds = [layer.name for layer in result.layers.values() if isinstance(layer, Activation)]
    assert sorted(kinds) == ["tanh", "tanh"]
    done = compressed(policy, "distill(cloning, hidden=[6], steps=30, states=100) > equalize > int8")
    assert done.artifact.contract.precision == "int8"


def test_cloning_learns_from_recorded_observations() -> None:
    policy = sac()
    recorded = observations_of(policy.observation_space, 400, seed=3)
    few = recorded[:4]
    held_out = to_tensors(observations_of(policy.observation_space, 200, seed=4))
    step = Distill("cloning", 8, 8, (16,), steps=500, rounds=2)
    results = [step.apply(policy, Context(few, 0, policy, None, given)) for given in (recorded, few)]
    with torch.no_grad():
        errors = [float((result(held_out) - policy(held_out)).abs().mean()) for result in results]
    assert errors[0] < 0.8 * errors[1]
    # Where nothing else was recorded, there is the calibration.
    short = replace(step, steps=10)
    same = [short.apply(policy, Context(few, 0, policy, None, given)) for given in (None, few)]
    assert fingerprint(same[0]) == fingerprint(same[1])


def test_dagger_needs_an_environment() -> None:
    policy = sac()
    seen = observations_of(policy.observation_space, 32)
    with pytest.raises(ObservationError, match=r"distill\(cloning\) learns from recorded observations"):
        Distill("dagger").apply(policy, Context(seen, 0, policy, None, seen))


def test_the_stage_is_that_of_what_it_does() -> None:
    assert Distill("dagger").stage is Stage.STRUCTURE
    assert Distill("dagger", 8, 8).stage is Stage.QUANTIZATION
    assert Recipe.parse("prune(l2, 0.5) > distill(dagger) > equalize > int8").steps[1].stage is Stage.STRUCTURE
    with pytest.raises(RecipeError, match=r"try equalize > distill\(dagger\, w=8, a=8\)"):
        Recipe.parse("distill(dagger, w=8, a=8) > equalize")
    with pytest.raises(RecipeError, match="can quantize only once"):
        Recipe.parse("distill(dagger, w=8, a=8) > int8")
    with pytest.raises(RecipeError, match="cannot follow"):
        Recipe.parse("equalize > distill(dagger)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("distill", r"expected: distill\(method"),
        ("distill(copying)", "dagger or cloning"),
        ("distill(dagger, w=8)", "both, e.g. w=8, a=8"),
        ("distill(dagger, a=8)", "both, e.g. w=8, a=8"),
        ("distill(dagger, w=1, a=8)", "2 to 8 bits"),
        ("distill(dagger, w=8, a=16)", "2 to 8 bits"),
        ("distill(dagger, hidden=64)", "a list of integers"),
        ("distill(dagger, hidden=[64,0])", "widths above 0"),
        ("distill(dagger, activation=swish)", "relu"),
        ("distill(dagger, steps=-1)", "steps=-1"),
        ("distill(dagger, rounds=0)", "rounds=0"),
    ],
)
def test_wrong_parameters_are_recipe_errors(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.parse(text)


def test_the_hash_is_stable() -> None:
    recipe = Recipe.parse("prune(l2, 0.5) > equalize > distill(dagger, w=8, a=8, hidden=[64,64])")
    assert recipe.text == "prune(l2, 0.5) > equalize > distill(dagger, w=8, a=8, hidden=[64,64])"
    assert recipe.hash == "75fb5354666bc710"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("agent", "recipe", "episodes", "smaller", "kept"),
    [
        ("sac-HalfCheetah-v3", "prune(obs, 0.8) > equalize > distill(dagger, w=8, a=8)", 10, 50, 0.94),
        ("ppo-HalfCheetah-v3", "distill(dagger, w=8, a=8, hidden=[64,64])", 20, 35, 0.85),
        ("ppo-LunarLander-v2", "distill(dagger, w=8, a=8, hidden=[16,16])", 50, 18, 0.9),
        ("dqn-LunarLander-v2", "distill(dagger, w=8, a=8, hidden=[64,64])", 50, 30, 0.75),
    ],
)
def test_real_agents_keep_their_return(
    shared_agents: Path, agent: str, recipe: str, episodes: int, smaller: float, kept: float
) -> None:
    subject = agent_in_environment(shared_agents / agent)
    done = build_artifact(subject.policy, Recipe.parse(recipe), Calibration(subject).materials)
    assert 4 * subject.policy.parameter_count() > smaller * done.record.packed_bytes
    seeds = seeding.episode_seeds(0, seeding.EVALUATION, episodes)
    assert subject.factory is not None
    played = [
        np.mean([row.episode_return for row in measure_returns(act, subject.factory, seeds)])
        for act in (runtime_of(subject.policy).act, OnnxRuntime(done.artifact.model).act)
    ]
    assert played[1] > kept * played[0]
    if not isinstance(subject.policy.action_space, Box):
        assert done.record.action_error is not None
        assert done.record.action_error < 0.35
