"""Which layers of a network are quantized where they stand, pooling and concatenation included."""

from __future__ import annotations

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from policypress_train.qat.layers import LayerSettings, QatConv2d, QatLinear
from policypress_train.qat.networks import absorb_rectifiers, mirror, quantize_chain, quantized_layers

SETTINGS = LayerSettings(8, 8, per_channel=True, scaled=True)


class Branches(BaseFeaturesExtractor):
    """Convolution, pooling, convolution; beside it a linear layer; both concatenated."""

    def __init__(self) -> None:
        super().__init__(spaces.Box(0, 255, (1, 12, 12)), 12)
        self.pooled = nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 2, 3), nn.AvgPool2d(3), nn.Flatten()
        )
        self.dense = nn.Sequential(nn.Flatten(), nn.Linear(144, 10))
        self.mirrored = nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.pooled(self.mirrored(x)), self.dense(x)], dim=1)


class Network(nn.Module):
    def __init__(self, extractor: nn.Module, features: int) -> None:
        super().__init__()
        self.extractor = extractor
        self.head = nn.Sequential(nn.Linear(features, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU())
        self.out = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.out(self.head(self.extractor(x)))
        return output


def test_what_pooling_and_concatenation_give_is_rounded_where_it_is_read() -> None:
    network = Network(Branches(), 12)
    quantize_chain(network, ["head", "out"], network.extractor, SETTINGS)
    layers = quantized_layers(network)
    assert set(layers) == {"extractor.pooled.0", "extractor.pooled.3", "extractor.dense.1", "head.0", "head.2", "out"}
    assert isinstance(layers["extractor.pooled.3"], QatConv2d)
    assert not any(layer.settings.scaled for layer in layers.values())
    read: dict[str, Tensor] = {}
    for name in ("extractor.pooled.3", "head.0"):
        layers[name].register_forward_pre_hook(lambda _, inputs, name=name: read.update({name: inputs[0]}))
    x = torch.rand(3, 1, 12, 12)
    network.train()(x)
    for name, value in read.items():
        assert float(layers[name].running_max) == float(value.detach().max()), name
        assert float(layers[name].running_min) == min(0.0, float(value.detach().min())), name


def test_padding_that_is_not_zero_stays_float() -> None:
    """No integer kernel pads by reflection."""
    network = Network(Branches(), 12)
    quantize_chain(network, ["head", "out"], network.extractor, SETTINGS)
    assert type(network.extractor.mirrored) is nn.Conv2d  # type: ignore[union-attr]


def test_only_the_first_layer_behind_observations_is_scaled() -> None:
    network = Network(nn.Flatten(), 3)
    quantize_chain(network, ["head", "out"], network.extractor, SETTINGS)
    assert {name: layer.settings.scaled for name, layer in quantized_layers(network).items()} == {
        "head.0": True,
        "head.2": False,
        "out": False,
    }


def test_a_second_time_changes_nothing() -> None:
    network = Network(nn.Flatten(), 3)
    quantize_chain(network, ["head", "out"], network.extractor, SETTINGS)
    before = quantized_layers(network)
    quantize_chain(network, ["head", "out"], network.extractor, SETTINGS)
    assert {name: id(layer) for name, layer in quantized_layers(network).items()} == {
        name: id(layer) for name, layer in before.items()
    }


def test_a_target_mirrors_what_is_quantized_and_keeps_its_own_parameters() -> None:
    online, target = Network(nn.Flatten(), 3), Network(nn.Flatten(), 3)
    own = list(target.parameters())
    quantize_chain(online, ["head"], online.extractor, SETTINGS)
    mirror(online, target)
    assert {n: layer.settings for n, layer in quantized_layers(target).items()} == {
        n: layer.settings for n, layer in quantized_layers(online).items()
    }
    assert type(target.out) is nn.Linear
    assert isinstance(target.head[0], QatLinear)
    assert all(a is b for a, b in zip(own, target.parameters(), strict=True))


def test_only_a_relu_right_in_front_of_a_quantized_layer_is_absorbed() -> None:
    chain = nn.Sequential(
        nn.Linear(3, 4),
        nn.ReLU(),
        nn.Linear(4, 4),
        nn.Tanh(),
        nn.Linear(4, 4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    network = nn.ModuleDict({"chain": chain, "plain": nn.Sequential(nn.ReLU(), nn.Linear(2, 2))})
    names = list(network.state_dict())
    quantize_chain(network, ["chain"], nn.Flatten(), SETTINGS)
    absorb_rectifiers(network)
    assert [type(part) for part in chain[1::2]][:3] == [nn.Identity, nn.Tanh, nn.ReLU]
    assert [getattr(part, "rectifies", False) for part in chain] == [index == 2 for index in range(8)]
    assert type(network["plain"][0]) is nn.ReLU  # type: ignore[index]
    assert [name for name in network.state_dict() if ".running_" not in name] == names
