from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch_pruning
from branching_modules import (
    WIDTH,
    AroundObservation,
    Gate,
    Halves,
    ObservationResidual,
    Residual,
    Slopes,
    policy_of,
)
from torch import Tensor, nn

from checkpoint_policies import (
    ACTIONS,
    FEATURES,
    POLICIES,
    cnn_dqn,
    crossq,
    dict_td3,
    dqn,
    materials_for,
    normalised_ppo,
    observations_of,
    sac,
    shared_ppo,
)
from policypress.compression.pipeline import build_artifact
from policypress.compression.pruning.prune import CRITERIA, Prune
from policypress.compression.recipe import Recipe
from policypress.compression.step import Context
from policypress.export.parity import to_tensors
from policypress.policy.folding import fold_affines
from policypress.policy.layers import Affine
from policypress.policy.policy import Policy
from policypress_runtime.errors import NetworkError, RecipeError

RATIOS = tuple(step / 20 for step in range(1, 15))
CONTEXT = Context(np.zeros((1, FEATURES), np.float32))
HIDDEN = (40, 40)


def weights(policy: Policy) -> list[Tensor]:
    return [layer.weight.detach() for _, layer in policy.weighted_layers()]


def scores(policy: Policy, seed: int = 0) -> Tensor:
    with torch.no_grad():
        return policy.scores(to_tensors(observations_of(policy.observation_space, 64, seed)))


@pytest.mark.parametrize("criterion", ["l1", "l2"])
@pytest.mark.parametrize("ratio", RATIOS)
def test_every_published_ratio(criterion: str, ratio: float) -> None:
    policy = sac(HIDDEN)
    compressed = build_artifact(policy, Recipe((Prune(criterion, ratio),)), materials_for(policy, 64))
    removed, kept = round(compressed.record.channel_ratio * 80), 1 - ratio
    assert removed / 80 == pytest.approx(ratio, abs=1 / 40)
    assert compressed.record.parameters < policy.parameter_count()
    pruned = Prune(criterion, ratio).apply(policy, CONTEXT)
    first, second, last = weights(pruned)
    width = 40 - removed // 2
    assert (first.shape, second.shape, last.shape) == ((width, FEATURES), (width, width), (ACTIONS, width))
    assert second.numel() / 1600 == pytest.approx(kept**2, abs=0.05)
    assert compressed.record.parameter_ratio == pytest.approx(1 - pruned.parameter_count() / policy.parameter_count())
    # Between 1 − (1 − p)², of the hidden layer, and p, of those at the ends.
    assert ratio - 1 / 40 <= compressed.record.parameter_ratio <= 1 - kept**2 + 1 / 20


@pytest.mark.parametrize(("criterion", "power"), [("l1", 1), ("l2", 2)])
@pytest.mark.parametrize("ratio", [0.1, 0.5])
def test_the_least_important_channels_go(criterion: str, power: int, ratio: float) -> None:
    """Importance by hand: Σ|row|^p and Σ|column|^p, averaged, of the weights as they were."""
    policy = sac(HIDDEN)
    before, after = weights(policy), weights(Prune(criterion, ratio).apply(policy, CONTEXT))
    kept = [torch.arange(FEATURES)]
    for layer, following in pairwise(before):
        importance = (layer.abs() ** power).sum(1) + (following.abs() ** power).sum(0)
        kept.append(importance.argsort(descending=True)[: int(40 * (1 - ratio))].sort().values)
    kept.append(torch.arange(ACTIONS))
    for (columns, rows), whole, pruned in zip(pairwise(kept), before, after, strict=True):
        torch.testing.assert_close(pruned, whole[rows][:, columns], rtol=0, atol=0)


@pytest.mark.parametrize("criterion", ["l1", "l2"])
def test_as_the_library_prunes_the_plain_network(criterion: str) -> None:
    policy = sac(HIDDEN)
    linears = []
    for _, layer in policy.weighted_layers():
        linears.append(nn.Linear(layer.weight.shape[1], layer.weight.shape[0]))
        linears[-1].load_state_dict(layer.state_dict())
    network = nn.Sequential(linears[0], nn.ReLU(), linears[1], nn.ReLU(), linears[2])
    torch_pruning.pruner.MagnitudePruner(
        network,
        torch.zeros(1, FEATURES),
        torch_pruning.importance.GroupMagnitudeImportance(p=int(criterion[1])),
        pruning_ratio=0.3,
        ignored_layers=[linears[2]],
    ).step()
    pruned = Prune(criterion, 0.3).apply(policy, CONTEXT)
    for (_, layer), linear in zip(pruned.weighted_layers(), linears, strict=True):
        torch.testing.assert_close(layer.weight, linear.weight, rtol=0, atol=0)
        torch.testing.assert_close(layer.bias, linear.bias, rtol=0, atol=0)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_keeps_its_form(name: str, criterion: str) -> None:
    policy = POLICIES[name]()
    state = {key: value.clone() for key, value in policy.state_dict().items()}
    materials = materials_for(policy, 64)
    compressed = build_artifact(policy, Recipe.parse(f"prune({criterion}, 0.5)"), materials)
    pruned = Prune(criterion, 0.5).apply(policy, Context(materials.calibration))
    assert all(torch.equal(value, state[key]) for key, value in policy.state_dict().items())
    assert scores(pruned).shape == scores(policy).shape
    assert compressed.record.channel_ratio == pytest.approx(0.5, abs=0.05)
    assert 0.4 < compressed.record.parameter_ratio < 0.8
    assert compressed.record.macs == pruned.macs() < policy.macs()
    assert not any(parameter.grad is not None for parameter in pruned.parameters())


def silence(policy: Policy, share: float = 0.25) -> Policy:
    """Of every hidden layer of a chain, make some channels add nothing: what pruning removes first."""
    result = fold_affines(policy)
    layers = [layer for _, layer in result.weighted_layers()]
    with torch.no_grad():
        for layer, following in pairwise(layers):
            silent = silent_channels(layer.weight.shape[0], share)
            layer.weight[silent] = 0
            layer.bias[silent] = 0
            block = following.weight.shape[1] // layer.weight.shape[0]
            for channel in silent:
                following.weight[:, channel * block : (channel + 1) * block] = 0
    return result


def silent_channels(width: int, share: float = 0.25) -> list[int]:
    return np.random.default_rng(0).permutation(width)[: round(width * share)].tolist()


@pytest.mark.parametrize("build", [sac, dqn, normalised_ppo, shared_ppo, crossq, cnn_dqn])
@pytest.mark.parametrize("criterion", ["l2", "activation", "obs"])
def test_channels_that_add_nothing_go_without_a_trace(build: Callable[[], Policy], criterion: str) -> None:
    policy = silence(build())
    pruned = Prune(criterion, 0.25).apply(policy, Context(observations_of(policy.observation_space, 64)))
    assert pruned.hidden_channels() == 0.75 * policy.hidden_channels()
    torch.testing.assert_close(scores(pruned), scores(policy), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("vector_first", [False, True])
def test_a_dict_observation_keeps_its_vector(vector_first: bool) -> None:
    policy = dict_td3(vector_first=vector_first)
    layers = dict(policy.weighted_layers())
    first, second, image, joint, last = layers.values()
    offset = FEATURES if vector_first else 0
    with torch.no_grad():
        for layer, following, place in ((first, second, 0), (second, image, 0), (image, joint, offset)):
            width = layer.weight.shape[0]
            block = 16 if following is image else 1
            for channel in silent_channels(width):
                layer.weight[channel] = 0
                layer.bias[channel] = 0
                following.weight[:, place + channel * block : place + (channel + 1) * block] = 0
        for channel in silent_channels(joint.weight.shape[0]):
            joint.weight[channel] = 0
            joint.bias[channel] = 0
            last.weight[:, channel] = 0
    pruned = Prune("l1", 0.25).apply(policy, CONTEXT)
    assert pruned.hidden_channels() == 0.75 * policy.hidden_channels()
    torch.testing.assert_close(scores(pruned), scores(policy), rtol=1e-5, atol=1e-5)


def zero(layers: Iterable[nn.Linear], channels: list[int]) -> None:
    for layer in layers:
        with torch.no_grad():
            layer.weight[channels] = 0
            layer.bias[channels] = 0


SILENT = silent_channels(WIDTH)


def silent_residual() -> nn.Module:
    network = Residual()
    zero([network.first, network.second], SILENT)
    network.second.weight.data[:, SILENT] = 0
    network.last.weight.data[:, SILENT] = 0
    return network


def silent_around_observation() -> nn.Module:
    network = AroundObservation()
    zero([network.left, network.right], SILENT)
    for channel in SILENT:
        network.last.weight.data[:, [channel, WIDTH + FEATURES + channel]] = 0
    return network


def silent_observation_residual() -> nn.Module:
    network = ObservationResidual()
    zero([network.first], SILENT)
    network.second.weight.data[:, SILENT] = 0
    return network


def silent_gate() -> nn.Module:
    network = Gate()
    zero([network.value, network.gate], SILENT)
    network.last.weight.data[:, SILENT] = 0
    return network


def silent_slopes() -> nn.Module:
    network = Slopes()
    zero([network.first], SILENT)
    network.last.weight.data[:, SILENT] = 0
    return network


@pytest.mark.parametrize(
    ("build", "channels"),
    [
        (silent_residual, 2 * WIDTH),
        (silent_around_observation, 2 * WIDTH),
        (silent_observation_residual, WIDTH),
        (silent_gate, 2 * WIDTH),
        (silent_slopes, WIDTH),
    ],
)
@pytest.mark.parametrize("criterion", ["l2", "activation", "obs"])
def test_networks_that_branch(build: Callable[[], nn.Module], channels: int, criterion: str) -> None:
    torch.manual_seed(0)
    policy = policy_of(build())
    pruned = Prune(criterion, 0.25).apply(policy, Context(observations_of(policy.observation_space, 64)))
    assert policy.hidden_channels() - pruned.hidden_channels() == channels // 4
    torch.testing.assert_close(scores(pruned), scores(policy), rtol=1e-5, atol=1e-5)
    record = build_artifact(policy, Recipe.parse(f"prune({criterion}, 0.25)"), materials_for(policy, 64)).record
    assert record.action_error is not None
    assert record.action_error < 1e-6


def test_batch_normalisation_is_part_of_the_weights_that_are_compared() -> None:
    policy = crossq()
    pruned = Prune("l2", 0.3).apply(policy, CONTEXT)
    assert any(isinstance(layer, Affine) for layer in policy.layers.values())
    assert not any(isinstance(layer, Affine) and not layer.role for layer in pruned.layers.values())


def test_what_cannot_be_followed_is_a_typed_error() -> None:
    with pytest.raises(NetworkError, match="cannot be pruned"):
        Prune("l2", 0.5).apply(policy_of(Halves()), CONTEXT)


@pytest.mark.parametrize(("criterion", "ratio"), [("l3", 0.5), ("l2", 0.0), ("l2", 1.0), ("l1", float("nan"))])
def test_impossible_parameters(criterion: str, ratio: float) -> None:
    with pytest.raises(RecipeError):
        Prune(criterion, ratio)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_one_ranking_for_all_layers(criterion: str) -> None:
    """A layer whose channels matter little loses more of them, and none loses all."""
    policy = sac((20, 20))
    with torch.no_grad():
        # All but one channel of the second layer do next to nothing.
        policy.layers["linear_2"].weight[1:] *= 0.01
        policy.layers["linear_2"].bias[1:] *= 0.01
        policy.layers["linear_3"].weight[:, 1:] *= 0.01
    context = Context(observations_of(policy.observation_space, 128))
    pruned = Prune(criterion, 0.3, scope="global").apply(policy, context)
    first, second, _ = (len(weight) for weight in weights(pruned))
    assert first + second == 28
    assert 1 <= second <= 10
    assert scores(pruned).shape == scores(policy).shape
    most = Prune(criterion, 0.97, scope="global").apply(policy, context)
    assert [len(weight) for weight in weights(most)] == [1, 1, ACTIONS]


def test_the_scope_is_in_the_text() -> None:
    recipe = Recipe.parse("prune(obs, 0.6, scope=global)")
    assert recipe.steps == (Prune("obs", 0.6, "global"),)
    assert recipe.text == "prune(obs, 0.6, scope=global)"
    assert Recipe.parse("prune(l2, 0.6, scope=uniform)").text == "prune(l2, 0.6)"
    with pytest.raises(RecipeError, match="scope"):
        Prune("l2", 0.5, "local")


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_network_without_hidden_layers_is_refused(criterion: str) -> None:
    policy = policy_of(nn.Linear(FEATURES, ACTIONS))
    context = Context(observations_of(policy.observation_space, 16))
    with pytest.raises(NetworkError, match="finds nothing to remove") as refused:
        Prune(criterion, 0.5).apply(policy, context)
    assert refused.value.hint == "Leave prune out of the recipe."
    for scope in ("uniform", "global"):
        with pytest.raises(NetworkError, match="finds nothing to remove"):
            Prune(criterion, 0.5, scope).apply(sac((1, 1)), context)


@pytest.mark.parametrize("width", [2, 10, 20])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_ratio_that_would_leave_nothing_is_refused_and_the_one_that_is_named_works(
    criterion: str, width: int
) -> None:
    policy = sac((width, width))
    context = Context(observations_of(policy.observation_space, 64))
    with pytest.raises(NetworkError, match="would leave no channel") as refused:
        Prune(criterion, 0.985).apply(policy, context)
    ratio = float(str(refused.value.expected).rsplit(" ", 1)[1])
    pruned = Prune(criterion, ratio).apply(policy, context)
    assert [len(weight) for weight in weights(pruned)] == [1, 1, ACTIONS]
    assert pruned.origin.notices == ()


def test_a_share_that_is_not_the_one_asked_for_is_told() -> None:
    policy = sac((40, 4))
    pruned = Prune("l2", 0.9).apply(policy, CONTEXT)
    assert [len(weight) for weight in weights(pruned)] == [3, 4, ACTIONS]
    (notice,) = pruned.origin.notices
    assert notice.startswith("prune(l2, 0.9) removed 84.1 % of the hidden channels")
    assert "not 90 %" in notice
    assert f"({100 * (1 - pruned.parameter_count() / policy.parameter_count()):.1f} % of the parameters)" in notice
    # One channel more or less is how whole channels are.
    assert Prune("l2", 0.3).apply(sac((40, 40)), CONTEXT).origin.notices == ()
