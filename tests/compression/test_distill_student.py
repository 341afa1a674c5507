from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from branching_modules import Gate, policy_of
from torch import Tensor, nn

from checkpoint_policies import POLICIES, cnn_dqn, crossq, dict_td3, dqn, normalised_ppo, observations_of, sac
from policypress.compression.distillation.student import (
    OUTPUT_ROLE,
    ROLE,
    standardised,
    student_of,
    tail_of,
    with_hidden,
    with_units_folded,
    without_standardisation,
)
from policypress.compression.quantization.equalize import Equalize
from policypress.compression.step import Context
from policypress.export.parity import to_tensors
from policypress.policy.layers import Affine, Linear
from policypress.policy.policy import Policy
from policypress.policy.quantization import LayerQuant, affine_spec, bias_spec, symmetric_spec
from policypress_runtime.contract import box
from policypress_runtime.errors import NetworkError


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def scores(policy: Policy, count: int = 64) -> Tensor:
    with torch.no_grad():
        return policy.scores(to_tensors(observations_of(policy.observation_space, count)))


def roles(policy: Policy) -> list[str]:
    return [layer.role for layer in policy.layers.values() if isinstance(layer, Affine)]


@pytest.mark.parametrize("name", POLICIES)
def test_standardising_keeps_the_function(name: str) -> None:
    policy = POLICIES[name]()
    observations = observations_of(policy.observation_space, 128)
    result = standardised(policy, observations)
    torch.testing.assert_close(scores(result), scores(policy), atol=2e-4, rtol=2e-4)
    folded = without_standardisation(result)
    torch.testing.assert_close(scores(folded), scores(policy), atol=2e-4, rtol=2e-4)
    assert ROLE not in folded.folded()


@pytest.mark.parametrize("build", [sac, dqn, crossq])
@pytest.mark.parametrize("first", [False, True])
def test_the_first_layer_reads_features_of_size_one(build: type[Policy], first: bool) -> None:
    policy = build()
    observations = observations_of(policy.observation_space, 512)
    if first:
        policy = Equalize().apply(policy, Context(observations))
    result = standardised(policy, observations)
    assert roles(result).count(ROLE) == 1
    if build is not crossq:
        # The scale that ``equalize`` leaves is taken over: one Affine, not two.
        assert "input_scale" not in roles(result)
    name = next(iter(result.weighted_layers()))[0]
    with torch.no_grad():
        read = result.run(to_tensors(observations))[result.node(name).inputs[0]]
    torch.testing.assert_close(read.mean(0), torch.zeros(8), atol=1e-3, rtol=0)
    torch.testing.assert_close(read.std(0, correction=0), torch.ones(8), atol=1e-3, rtol=0)


@pytest.mark.parametrize("build", [normalised_ppo, cnn_dqn])
def test_what_is_scaled_already_is_left_alone(build: type[Policy]) -> None:
    policy = build()
    assert ROLE not in roles(standardised(policy, observations_of(policy.observation_space, 32)))


def test_a_feature_that_never_moved_keeps_its_size() -> None:
    policy = sac()
    observations = observations_of(policy.observation_space, 64)
    observations[:, 2] = 1000.0
    result = standardised(policy, observations)
    affine = next(layer for layer in result.layers.values() if isinstance(layer, Affine) and layer.role == ROLE)
    assert float(affine.scale[2]) == 1.0
    assert float(affine.shift[2]) == -1000.0


@pytest.mark.parametrize(
    ("build", "layers", "source"),
    [
        (sac, 3, "observation"),
        (normalised_ppo, 3, "normalise"),
        (cnn_dqn, 2, "flatten"),
        (dict_td3, 2, "concat"),
    ],
)
def test_the_tail(build: type[Policy], layers: int, source: str) -> None:
    policy = build()
    tail = tail_of(policy)
    assert tail.source == source
    assert sum(isinstance(policy.layers[name], Linear) for name in tail.nodes) == layers


@pytest.mark.parametrize("name", POLICIES)
def test_a_fresh_network_takes_the_place_of_the_tail(name: str) -> None:
    policy = POLICIES[name]()
    result = with_hidden(policy, (7, 5), "relu", generator())
    assert scores(result).shape == scores(policy).shape
    assert result.folded() == policy.folded()
    widths = [layer.weight.shape[0] for _, layer in result.weighted_layers()]
    assert widths[-3:-1] == [7, 5]
    again = with_hidden(result, (4,), "tanh", generator())
    assert [layer.weight.shape[0] for _, layer in again.weighted_layers()][-2:] == [4, widths[-1]]
    torch.testing.assert_close(scores(with_hidden(policy, (7, 5), "relu", generator())), scores(result))


def test_two_outputs_have_no_tail() -> None:
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(8, 1), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.left(x), self.right(x)], dim=1)

    policy = Policy.from_module(TwoHeads(), box((8,), "float32", -9, 9), box((3,), "float32", -1, 1))
    with pytest.raises(NetworkError, match="one linear layer"):
        with_hidden(policy, (4,), "relu", generator())
    units = torch.full((3,), 2.0), torch.zeros(3)
    # The network itself can be distilled, in the units it has.
    student = student_of(policy, observations_of(policy.observation_space, 64), units, (), "relu", generator())
    assert OUTPUT_ROLE not in roles(student)


def test_units_come_and_go() -> None:
    policy = normalised_ppo()
    observations = observations_of(policy.observation_space, 64)
    units = torch.tensor([1.0, 20.0, 0.1]), torch.tensor([0.0, 3.0, -1.0])
    student = student_of(policy, observations, units, (), "relu", generator())
    last = [layer for _, layer in student.weighted_layers()][-1]
    torch.testing.assert_close(last.weight * units[0][:, None], policy.layers["linear_3"].weight)
    torch.testing.assert_close(scores(student), scores(policy), atol=1e-4, rtol=1e-4)
    folded = with_units_folded(student)
    assert OUTPUT_ROLE not in folded.folded()
    torch.testing.assert_close(scores(folded), scores(policy), atol=1e-4, rtol=1e-4)


def test_folding_units_keeps_the_integers() -> None:
    policy = dqn(level=0.0)
    units = torch.full((4,), 0.02), torch.zeros(4)
    student = student_of(policy, observations_of(policy.observation_space, 64), units, (6,), "relu", generator())
    assert student.scores_node is not None
    assert student.scores_node.startswith("student_units")
    for _, layer in student.weighted_layers():
        read, weight = affine_spec(-3.0, 3.0), symmetric_spec(layer.weight, 4)
        layer.quant = LayerQuant(read, weight, bias_spec(read, weight))
    folded = with_units_folded(student)
    assert folded.scores_node == policy.scores_node
    torch.testing.assert_close(scores(folded), scores(student), atol=1e-5, rtol=1e-4)
    before, after = ([layer for _, layer in p.weighted_layers()][-1] for p in (student, folded))
    assert before.quant.weight is not None
    assert after.quant.weight is not None
    torch.testing.assert_close(after.quant.weight.scale, before.quant.weight.scale * 0.02)
    assert after.quant.bias is not None
    assert replace(after.quant.weight, scale=before.quant.weight.scale).bits == 4


def test_a_branching_network_is_standardised_once_for_each_reader() -> None:
    torch.manual_seed(0)
    policy = policy_of(Gate())
    observations = observations_of(policy.observation_space, 64)
    torch.testing.assert_close(scores(standardised(policy, observations)), scores(policy), atol=1e-4, rtol=1e-4)
