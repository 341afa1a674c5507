from __future__ import annotations

import math
import warnings
from typing import Any

import gymnasium
import numpy as np
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from random_networks import Plan, build, plans
from torch import Tensor, nn

from policypress.agents.bundle import Normaliser
from policypress.policy import layers
from policypress.policy.policy import Policy
from policypress.policy.self_check import sample_observations
from policypress.writers.onnx_writer import to_onnx
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete, Space, box
from policypress_runtime.errors import NetworkError

TOLERANCE = 1e-5
VECTOR = box((6,), "float32", -np.inf, np.inf)
ANY_ACTION = box((4,), "float32", -np.inf, np.inf)


class Function(nn.Module):
    """A module around a function of (linear layer 6 → 4, observation)."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.linear = nn.Linear(6, 4)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(self.linear, x)


def observe(space: Space, rows: int = 5) -> Any:
    arrays = sample_observations(space, rows, {}, seed=11)
    tensors = {key: torch.from_numpy(values) for key, values in arrays.items()}
    return tensors[""] if tensors.keys() == {""} else tensors


def kinds(policy: Policy) -> list[str]:
    return [type(policy.layers[node.name]).__name__ for node in policy.nodes]


def assert_same(policy: Policy, module: nn.Module, observation: Any) -> None:
    with torch.no_grad():
        expected, got = module.eval()(observation), policy(observation)
    if isinstance(policy.action_space, Box):
        low, high = (torch.from_numpy(b).float() for b in policy.action_space.bounds())
        expected = torch.clamp(expected.reshape(got.shape), low, high)
        assert torch.all((got - expected).abs() <= TOLERANCE * (1 + expected.abs()))
    else:
        start = getattr(policy.action_space, "start", 0)
        assert torch.equal(got, expected.argmax(1) + start)


def assert_exports(policy: Policy, observation: Any) -> None:
    """The policy, written to ONNX, acts the same under ONNX Runtime."""
    session = ort.InferenceSession(to_onnx(policy).SerializeToString(), providers=["CPUExecutionProvider"])
    parts = {"": observation} if isinstance(observation, Tensor) else observation
    feeds = {policy.inputs[key].name: value.numpy() for key, value in parts.items()}
    action = session.run(["action"], feeds)[0]
    with torch.no_grad():
        expected = policy(observation).numpy()
    assert action.shape == expected.shape
    assert np.all(np.abs(action - expected) <= TOLERANCE * (1 + np.abs(expected)))


@given(plans)
@settings(max_examples=8)
def test_random_networks_are_translated_exactly(plan: Plan) -> None:
    case = build(plan)
    policy = Policy.from_module(case.module, case.observations, case.actions)
    observation = observe(case.observations)
    assert_same(policy, case.module, observation)
    assert_exports(policy, observation)


FUNCTIONS = {
    "activations": lambda f, x: sum(
        act(f(x))
        for act in (
            F.gelu,
            lambda h: F.gelu(h, approximate="tanh"),
            F.relu6,
            F.mish,
            torch.sin,
            torch.exp,
            F.logsigmoid,
        )
    ),
    "parametric": lambda f, x: F.elu(f(x), 1.4) + F.celu(f(x), 0.7) + F.leaky_relu(f(x), 0.2) + F.softplus(f(x), 2.0),
    "in_place": lambda f, x: F.relu_(f(x)).mul_(2).add_(1),
    "normalise": lambda f, x: F.layer_norm(F.normalize(f(x)), [4]) + F.rms_norm(f(x), [4]) + F.softmax(f(x), -1),
    "reductions": lambda f, x: f(x).std(1, keepdim=True) + f(x).var(1, True, True) + f(x) * f(x).sum(1, True),
    "extrema": lambda f, x: torch.maximum(f(x), -f(x)) + torch.minimum(f(x), torch.zeros(4)) + f(x).max(1, True).values,
    "log_sum_exp": lambda f, x: f(x) - torch.logsumexp(f(x), 1, keepdim=True) + F.log_softmax(f(x), 1),
    "arithmetic": lambda f, x: (1 - f(x)) / 2 + 3 / (f(x).abs() + 1) - f(x) ** 2 + torch.add(f(x), f(x), alpha=0.5),
    "limits": lambda f, x: f(x).clamp(-0.5, 0.7) + f(x).clamp(min=0) + f(x).clamp(max=0.1) + F.hardtanh(f(x), -2, 3),
    "shapes": lambda f, x: f(x.view(-1, 2, 3).transpose(1, 2).reshape(x.shape[0], -1)).unsqueeze(1).squeeze(1),
    "pieces": lambda f, x: torch.cat([*f(x).chunk(2, 1)[::-1]], -1) + torch.stack(f(x).unbind(1), 1).flip(1),
    "picking": lambda f, x: f(x)[:, [2, 0, 3, 1]] + F.linear(x[:, ::2], f.weight[:, :3]) + f(x)[:, -1:],
    "constants": lambda f, x: f(torch.cat([x[:, :4], torch.ones(x.shape[0], 2)], dim=1)),
    "expanding": lambda f, x: f(x) * f(x)[:, :1].expand(-1, 4),
    "einsum": lambda f, x: torch.einsum("bi,ji->bj", x, f.weight) + x @ f.weight.T + F.glu(torch.cat([f(x), f(x)], 1)),
    "windows": lambda f, x: F.avg_pool1d(f(x)[:, None], 3, 1, 1)[:, 0] + F.max_pool1d(f(x)[:, None], 3, 1, 1)[:, 0],
    "padded": lambda f, x: F.conv1d(F.pad(f(x)[:, None], (1, 2)), torch.ones(1, 1, 4))[:, 0],
    "groups": lambda f, x: F.group_norm(f(x), 2) + F.instance_norm(f(x)[:, None])[:, 0],
    "set": lambda f, x: F.linear(x.view(-1, 2, 3), f.weight[:, :3]).mean(1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operators(name: str) -> None:
    module = Function(FUNCTIONS[name])
    policy = Policy.from_module(module, VECTOR, ANY_ACTION)
    assert_same(policy, module, observe(VECTOR))
    assert_exports(policy, observe(VECTOR))


def test_images_with_every_kind_of_window() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.ZeroPad2d((0, 2, 2, 1)),
        nn.Conv2d(2, 4, (3, 2), stride=(2, 1), dilation=(1, 2), groups=2),
        nn.AvgPool2d(3, stride=1, padding=1),
        nn.Conv2d(4, 4, 3, padding="same", bias=False),
        nn.BatchNorm2d(4),
        nn.GroupNorm(2, 4),
        nn.AdaptiveMaxPool2d((1, 3)),
        nn.PReLU(4),
        nn.Flatten(),
        nn.Linear(12, 4),
    )
    space = box((2, 8, 12), "float32", -np.inf, np.inf)
    policy = Policy.from_module(network, space, ANY_ACTION)
    assert_same(policy, network, observe(space))
    assert_exports(policy, observe(space))
    # Padding and batch normalisation went into the convolutions.
    assert kinds(policy)[:4] == ["Conv2d", "Pool2d", "Affine", "Conv2d"]
    assert kinds(policy).count("Affine") == 2


def test_the_graph_is_as_small_as_it_can_be() -> None:
    network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(8, 4))
    policy = Policy.from_module(network, VECTOR, ANY_ACTION)
    assert kinds(policy) == ["Linear", "Activation", "Linear"]


def test_the_module_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout())
    network[2].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    Policy.from_module(network, VECTOR, ANY_ACTION)
    assert torch.equal(state, torch.get_rng_state())
    assert [part.training for part in network] == [True, True, False]
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_finite_action_bounds_are_applied() -> None:
    network = nn.Linear(6, 4)
    policy = Policy.from_module(network, VECTOR, Box((2, 2), "float32", (-0.1,), (0.2,)))
    action = policy(observe(VECTOR)).detach()
    assert action.shape == (5, 2, 2)
    assert float(action.max()) <= np.float32(0.2)
    assert float(action.min()) >= np.float32(-0.1)
    assert policy.folded() == ("clip",)


def test_spaces_of_gymnasium_and_a_normaliser_by_key() -> None:
    class Fused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 3)

        def forward(self, observation: dict[str, Tensor]) -> Tensor:
            return self.layer(torch.cat([observation["speed"], observation["bits"].float()], dim=1))

    spaces = gymnasium.spaces
    space = spaces.Dict({"speed": spaces.Box(-np.inf, np.inf, (2,)), "bits": spaces.MultiBinary(3)})
    normaliser = Normaliser(np.array([1e4, -2.0]), np.array([4.0, 0.25]), 1e-8, 3.0)
    network = Fused()
    policy = Policy.from_module(network, space, spaces.Discrete(3), {"speed": normaliser})
    raw = np.array([[1e4 + 1.0, -1.5], [1e4 - 50.0, 3.0]])
    bits = torch.tensor([[0, 1, 1], [1, 0, 1]], dtype=torch.int8)
    scaled = np.clip((raw - normaliser.mean) / np.sqrt(normaliser.variance + 1e-8), -3, 3)
    expected = network({"speed": torch.from_numpy(scaled).float(), "bits": bits})
    got = policy.scores({"speed": torch.from_numpy(raw).float(), "bits": bits})
    assert torch.allclose(got, expected, atol=2e-5)
    assert policy.folded() == ("normalise", "argmax")


CHOICES = {
    "scores": (lambda f, x: f(x), Discrete(4), ["Linear", "ArgMax"]),
    "argmax": (lambda f, x: f(x).argmax(1), Discrete(4), ["Linear", "ArgMax"]),
    "kept": (lambda f, x: f(x).softmax(-1).argmax(-1, keepdim=True), Discrete(4), ["Linear", "ArgMax"]),
    "log_softmax": (lambda f, x: F.log_softmax(f(x), 1), Discrete(4), ["Linear", "ArgMax"]),
    "normalised": (lambda f, x: f(x) - torch.logsumexp(f(x), 1, True), Discrete(4), None),
    "started": (lambda f, x: f(x).argmax(1) + 2, Discrete(4, start=2), ["Linear", "ArgMax"]),
    "named": (lambda f, x: {"value": x.mean(1), "action": f(x)}, Discrete(4), ["Linear", "ArgMax"]),
    "first": (lambda f, x: (f(x), x.mean(1)), Discrete(4), ["Linear", "ArgMax"]),
    "groups": (lambda f, x: f(x), MultiDiscrete((1, 3)), ["Linear", "ArgMax"]),
    "parts": (
        lambda f, x: torch.stack([part.argmax(1) for part in f(x).split([1, 3], 1)], 1),
        MultiDiscrete((1, 3)),
        ["Linear", "ArgMax"],
    ),
    "rows": (lambda f, x: f(x).view(-1, 2, 2).argmax(-1), MultiDiscrete((2, 2)), None),
    "logits": (lambda f, x: f(x), MultiBinary(4), ["Linear", "Threshold"]),
    "bits": (lambda f, x: (torch.sigmoid(f(x)) > 0.5).int(), MultiBinary(4), None),
}


@pytest.mark.parametrize("name", CHOICES)
def test_discrete_actions(name: str) -> None:
    function, space, expected_kinds = CHOICES[name]
    module = Function(function)
    policy = Policy.from_module(module, VECTOR, space)
    observation = observe(VECTOR, 40)
    with torch.no_grad():
        given = module.linear(observation)
    match space:
        case Discrete():
            expected = given.argmax(1) + space.start
        case MultiDiscrete():
            expected = torch.stack([part.argmax(1) for part in torch.split(given, list(space.nvec), 1)], 1)
        case _:
            expected = (given > 0).to(torch.int8)
    assert torch.equal(policy(observation), expected)
    assert policy.scores(observation).shape == (40, 4)
    assert expected_kinds is None or kinds(policy) == expected_kinds
    assert_exports(policy, observation)


class Stateful(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)
        self.register_buffer("steps", torch.zeros(1))
        self.kept = torch.zeros(1, 4)
        self.kind = kind
        if kind == "recurrent":
            self.memory = nn.LSTM(6, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "counts":
            self.steps.add_(1)
        if self.kind == "remembers":
            self.kept = 0.5 * self.kept.mean(0, keepdim=True) + self.linear(x)
            return self.kept
        return self.memory(x[:, None])[0][:, 0] if self.kind == "recurrent" else self.linear(x)


REFUSED = {
    "where": (
        Function(lambda f, x: torch.where(f(x) > 0.3, f(x), x[:, :4])),
        r"aten\.where at the module itself \(Function\)",
    ),
    "control_flow": (Function(lambda f, x: f(x) if x.sum() > 0 else -f(x)), "cannot be traced"),
    "random": (Function(lambda f, x: f(x) + torch.randn(x.shape[0], 4)), r"aten\.randn.*random"),
    "active_dropout": (Function(lambda f, x: F.dropout(f(x), training=True)), "dropout"),
    "batch_mean": (Function(lambda f, x: f(x) - f(x).mean(0)), r"aten\.mean.*batch"),
    "batch_norm": (
        nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4, track_running_stats=False)),
        r"at 1 \(BatchNorm1d\)",
    ),
    "transposed": (Function(lambda f, x: f(x).T), "batch"),
    "product": (Function(lambda f, x: torch.bmm(f(x)[:, :, None], f(x)[:, None])[:, 0]), r"aten\.bmm"),
    "attention": (Function(lambda f, x: F.scaled_dot_product_attention(*[f(x)[:, None]] * 3)[:, 0]), "attention"),
    "half": (Function(lambda f, x: f(x).half().float()), "does not compute what the original computes"),
    "width": (Function(lambda f, x: f(x)[:, :3]), r"\(3,\).*\(4,\)"),
    "integers": (Function(lambda f, x: f(x).argmax(1)), "continuous"),
    "constant": (Function(lambda f, x: torch.ones(x.shape[0], 4)), "does not depend on the observation"),
    "no_tensor": (Function(lambda f, x: "north"), "returns no tensor"),
    "wrong_input": (nn.Linear(7, 4), "fails on an observation"),
    "not_finite": (Function(lambda f, x: torch.log(f(x) * 0 - 1)), "finite"),
    "counts": (Stateful("counts"), "state"),
    "remembers": (Stateful("remembers"), "original"),
    "recurrent": (Stateful("recurrent"), r"memory \(LSTM\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_and_how_it_is_named(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    module, message = REFUSED[name]
    with pytest.raises(NetworkError, match=f"(?s){message}"):
        Policy.from_module(module, VECTOR, ANY_ACTION)
    # torch prints the graph it could not trace; the user gets the error alone.
    assert capfd.readouterr() == ("", "")


def test_discrete_results_that_do_not_fit() -> None:
    with pytest.raises(NetworkError, match="starts at 1"):
        Policy.from_module(Function(lambda f, x: f(x).argmax(1)), VECTOR, Discrete(4, start=1))
    with pytest.raises(NetworkError, match="5 scores"):
        Policy.from_module(Function(lambda f, x: f(x)), VECTOR, Discrete(5))
    with pytest.raises(NetworkError, match="threshold"):
        Policy.from_module(Function(lambda f, x: (f(x) > 0).int()), VECTOR, Discrete(4))


def test_modules_that_are_no_modules() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(nn.Linear(6, 4))
    with pytest.raises(NetworkError, match="TorchScript"):
        Policy.from_module(scripted, VECTOR, ANY_ACTION)
    broken = nn.Linear(6, 4)
    with torch.no_grad():
        broken.weight[0, 0] = math.nan
    with pytest.raises(NetworkError, match="not finite"):
        Policy.from_module(broken, VECTOR, ANY_ACTION)


def test_a_normaliser_that_does_not_fit() -> None:
    statistics = Normaliser(np.zeros(5), np.ones(5), 1e-8, 10.0)
    with pytest.raises(NetworkError, match=r"\(5,\)"):
        Policy.from_module(nn.Linear(6, 4), VECTOR, ANY_ACTION, statistics)
    with pytest.raises(NetworkError, match="speed"):
        Policy.from_module(nn.Linear(6, 4), VECTOR, ANY_ACTION, {"speed": statistics})


def test_shared_weights_are_copied_so_that_methods_may_change_each() -> None:
    layer = nn.Linear(6, 6)
    policy = Policy.from_module(nn.Sequential(layer, nn.ReLU(), layer), VECTOR, box((6,), "float32", -1.0, 1.0))
    first, second = (layer for layer in policy.layers.values() if isinstance(layer, layers.Linear))
    assert first.weight is not second.weight
    assert first.weight.data_ptr() != layer.weight.data_ptr()


def test_observations_of_integers() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(7, 4)

        def forward(self, observation: dict[str, Tensor]) -> Tensor:
            floor = F.one_hot(observation["floor"], 3).float()
            return self.layer(torch.cat([floor, observation["dice"].float(), observation["pixels"] / 255], dim=1))

    space = DictSpace((("dice", MultiDiscrete((6, 6))), ("floor", Discrete(3)), ("pixels", box((2,), "uint8", 0, 255))))
    module = Counts()
    policy = Policy.from_module(module, space, ANY_ACTION)
    assert_same(policy, module, observe(space))
    assert_exports(policy, observe(space))
