"""What every method of compression has to do, whichever it is: ``make check-method NAME=...`` runs this for one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import MISSING, fields

import numpy as np
import pytest
import torch

from checkpoint_policies import POLICIES, materials_for, observations_of
from policypress.compression.methods import METHODS
from policypress.compression.pipeline import build_artifact
from policypress.compression.recipe import Recipe
from policypress.compression.registry import STEPS
from policypress.compression.step import Context, Stage
from policypress.export.parity import to_tensors
from policypress.report import words
from policypress_runtime.errors import NetworkError, PolicypressError

# A value for each parameter that a method asks for; a method with another one states a default or adds a line.
EXAMPLES = {"criterion": "l2", "ratio": "0.5", "bits": "4", "method": "cloning"}
FREE = {"qat": "needs ranges that quantization-aware training has learned: tests/compression/test_qat.py"}
SLOW = {"distill": "trains: tests/compression/test_distill.py"}


def recipe_of(name: str) -> Recipe:
    """The method alone, with an example for each parameter that has no default."""
    asked = [field.name for field in fields(STEPS[name]) if field.default is MISSING]  # type: ignore[arg-type]
    unknown = set(asked) - set(EXAMPLES)
    assert not unknown, f"give {', '.join(unknown)} a default, or an example in EXAMPLES of this file"
    given = ", ".join(EXAMPLES[parameter] for parameter in asked)
    return Recipe.parse(f"{name}({given})" if given else name)


@pytest.mark.parametrize("name", METHODS)
def test_its_text_and_its_json_read_back(name: str) -> None:
    recipe = recipe_of(name)
    assert Recipe.parse(recipe.text) == recipe
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.parse(recipe.text).hash == recipe.hash
    assert all(words.steps_in_words([{"step": step.name, **step.arguments()}]) for step in recipe.steps)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in FREE | SLOW])
@pytest.mark.parametrize("network", POLICIES)
def test_it_passes_the_parity_gate_and_does_the_same_again(name: str, network: str) -> None:
    """On networks of every kind: the artifact is proven, the policy given stays as it was, twice is the same."""
    torch.manual_seed(0)
    policy = POLICIES[network]()
    before = {key: value.clone() for key, value in policy.state_dict().items()}
    materials = materials_for(policy)
    with suppress(NetworkError):  # A method may refuse a network that it can do nothing for.
        first, second = (build_artifact(policy, recipe_of(name), materials) for _ in range(2))
        assert first.record.packed_bytes > 0
        assert first.artifact.model == second.artifact.model
    assert all(torch.equal(value, before[key]) for key, value in policy.state_dict().items())


@pytest.mark.parametrize("name", [name for name in METHODS if name not in FREE | SLOW])
def test_its_actions_are_finite_near_the_policy_s_and_not_all_alike(name: str) -> None:
    torch.manual_seed(0)
    policy = POLICIES["sac"]()
    observations = observations_of(policy.observation_space, 64)
    step = recipe_of(name).steps[0]
    if step.stage is Stage.LOWERING:
        pytest.skip("it changes the file, which the parity gate has compared")
    compressed = step.apply(policy, Context(observations, teacher=policy))
    with torch.no_grad():
        batch = to_tensors(observations)
        want, got = policy(batch).numpy(), compressed(batch).numpy()
    assert np.isfinite(got).all()
    assert got.std(0).min() > 0 or want.std(0).min() == 0
    assert np.abs(got - want).mean() < np.abs(want - want.mean(0)).mean() + 0.5


@pytest.mark.parametrize("name", METHODS)
def test_wrong_parameters_are_one_clear_error(name: str) -> None:
    for text in (f"{name}(nonsense=1)", f"{name}(1, 2, 3, 4, 5, 6, 7, 8, 9)"):
        with pytest.raises(PolicypressError):
            Recipe.parse(text)
