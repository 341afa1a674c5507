"""Feature extractors: what the tensors, the space and the class's name determine, and what they do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from policypress.agents.bundle import Activation, Cnn, Sb3Network
from policypress.agents.overrides import Overrides
from policypress.agents.sb3.defaults import MNIH_CLASSES
from policypress.agents.sb3.extractor import flat_size, read_extractor
from policypress.agents.sb3.reading import read_sb3_zip
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete
from policypress_runtime.errors import DamagedAgentError, UndeterminedAgentError, UnsupportedAgentError
from policypress_train.extractors import MnihCnn

IMAGE = Box((4, 84, 84), "uint8", (0.0,), (255.0,))
VECTOR = Box((5,), "float32", (-1.0,), (1.0,))
CUSTOM = "package.module.SmallCnn"


def zeros(shape: Any) -> np.ndarray:
    return np.zeros(shape, np.float32)


def cnn_tensors(prefix: str, *layers: tuple[int, int, int], features: int = 256, flat: int) -> dict[str, np.ndarray]:
    """Convolutions of (inputs, outputs, kernel) at even positions, then one linear layer."""
    tensors = {}
    for i, (inputs, outputs, kernel) in enumerate(layers):
        tensors[f"{prefix}cnn.{2 * i}.weight"] = zeros((outputs, inputs, kernel, kernel))
        tensors[f"{prefix}cnn.{2 * i}.bias"] = zeros(outputs)
    tensors[f"{prefix}linear.0.weight"] = zeros((features, flat))
    tensors[f"{prefix}linear.0.bias"] = zeros(features)
    return tensors


SMALL = cnn_tensors("f.", (4, 16, 8), (16, 32, 4), flat=32 * 9 * 9)
NATURE = cnn_tensors("f.", (4, 32, 8), (32, 64, 4), (64, 64, 3), features=512, flat=64 * 7 * 7)


def test_nature_cnn() -> None:
    read = read_extractor(NATURE, ("f.",), IMAGE, None, None)
    assert read.extractor.cnn == Cnn((4, 2, 1), (0, 0, 0))
    assert (read.features, read.notices) == (512, ())


def test_small_cnn_of_the_paper_by_its_shapes() -> None:
    read = read_extractor(SMALL, ("e.", "f."), IMAGE, CUSTOM, None)
    assert read.extractor.prefix == "f."
    assert read.extractor.cnn == Cnn((4, 2), (0, 0))
    assert read.features == 256
    assert "--cnn-strides" in read.notices[0]


@pytest.mark.parametrize(
    "tensors",
    [
        cnn_tensors("f.", (4, 16, 5), flat=1600),
        cnn_tensors("f.", (4, 16, 8), (16, 32, 4), flat=32 * 8 * 8),
    ],
)
def test_strides_that_the_tensors_do_not_tell(tensors: dict[str, np.ndarray]) -> None:
    with pytest.raises(UndeterminedAgentError, match="--cnn-strides"):
        read_extractor(tensors, ("f.",), IMAGE, CUSTOM, None)


def test_stated_strides() -> None:
    tensors = cnn_tensors("f.", (4, 16, 6), (16, 8, 3), flat=8 * 13 * 13)
    read = read_extractor(tensors, ("f.",), IMAGE, CUSTOM, (3, 2))
    assert read.extractor.cnn == Cnn((3, 2), (0, 0))
    assert read.notices == ()
    for wrong in ((2, 2), (3,), (0, 2), (90, 2)):
        with pytest.raises(UndeterminedAgentError, match="--cnn-strides"):
            read_extractor(tensors, ("f.",), IMAGE, CUSTOM, wrong)


def test_nature_cnn_that_does_not_fit_is_damage() -> None:
    with pytest.raises(DamagedAgentError, match="do not fit"):
        read_extractor(NATURE, ("f.",), Box((4, 64, 64), "uint8", (0.0,), (255.0,)), None, None)


@pytest.mark.parametrize(
    ("tensors", "space", "declared"),
    [
        ({}, VECTOR, CUSTOM),
        ({"f.net.0.weight": zeros((3, 5))}, VECTOR, CUSTOM),
        ({**SMALL, "f.cnn.1.running_mean": zeros(16)}, IMAGE, CUSTOM),
        ({**SMALL, "f.linear.2.weight": zeros((3, 256))}, IMAGE, CUSTOM),
        (SMALL, VECTOR, CUSTOM),
        ({n: t for n, t in SMALL.items() if "linear" not in n}, IMAGE, CUSTOM),
        ({"f.extractors.x.linear.weight": zeros((3, 5))}, DictSpace((("x", VECTOR),)), CUSTOM),
        ({"f.extractors.z.cnn.0.weight": zeros((3, 5))}, DictSpace((("x", VECTOR),)), None),
    ],
)
def test_extractors_of_another_form(tensors: Any, space: Any, declared: str | None) -> None:
    with pytest.raises(UnsupportedAgentError, match="from_module"):
        read_extractor(tensors, ("f.",), space, declared, None)


def test_dict_observations_join_in_the_order_of_the_space() -> None:
    space = DictSpace((("z", VECTOR), ("image", IMAGE), ("a", Discrete(3))))
    tensors = {name.replace("f.", "f.extractors.image."): array for name, array in NATURE.items()}
    read = read_extractor(tensors, ("f.",), space, None, None)
    assert read.extractor.kind == "combined"
    assert read.extractor.image_keys == ("image",)
    assert read.features == 5 + 512 + 3


def test_flat_sizes() -> None:
    space = DictSpace((("a", Discrete(3)), ("b", MultiDiscrete((2, 4))), ("c", MultiBinary(5)), ("d", VECTOR)))
    assert flat_size(space) == 3 + 6 + 5 + 5


class SmallCnn(BaseFeaturesExtractor):
    """As the second paper has it."""

    def __init__(self, observation_space: Any, features_dim: int = 256) -> None:
        super().__init__(observation_space, features_dim)
        channels = observation_space.shape[0]
        self.cnn = nn.Sequential(
            nn.Conv2d(channels, 16, 8, 4), nn.ReLU(), nn.Conv2d(16, 32, 4, 2), nn.ReLU(), nn.Flatten()
        )
        with torch.no_grad():
            flat = self.cnn(torch.zeros(1, *observation_space.shape)).shape[1]
        self.linear = nn.Sequential(nn.Linear(flat, features_dim), nn.ReLU())

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.linear(self.cnn(observations))
        return features


def test_live_model_with_the_small_cnn(build: Any) -> None:
    saved = build("DQN", "CnnPolicy", "image", "discrete", features_extractor_class=SmallCnn, net_arch=[])
    for strides in (None, (4, 2)):
        with pytest.raises(UndeterminedAgentError, match="--check"):
            read_sb3_zip(saved.path, overrides=Overrides(cnn_strides=strides))
        bundle = read_sb3_zip(saved.path, overrides=Overrides(cnn_strides=strides, check="pairs.npz"))
        assert isinstance(bundle.network, Sb3Network)
        assert bundle.network.extractor.cnn == Cnn((4, 2), (0, 0))
        tried = {network.extractor.cnn.activation for network in bundle.alternatives}  # type: ignore[union-attr]
        assert {Activation("tanh"), Activation("elu")} <= tried


def test_the_cnn_that_policypress_trains_is_known(build: Any) -> None:
    saved = build("DQN", "CnnPolicy", "image", "discrete", features_extractor_class=MnihCnn, net_arch=[])
    bundle = read_sb3_zip(saved.path)
    assert isinstance(bundle.network, Sb3Network)
    assert bundle.network.extractor.cnn == Cnn((4, 2), (0, 0))
    assert bundle.notices == ()
    assert f"{MnihCnn.__module__}.{MnihCnn.__qualname__}" == MNIH_CLASSES[0]


@pytest.mark.parametrize("name", MNIH_CLASSES)
def test_what_only_claims_to_be_that_cnn_is_refused(name: str) -> None:
    wrong = cnn_tensors("f.", (4, 16, 8), (16, 32, 4), flat=100)
    with pytest.raises(DamagedAgentError, match="one network"):
        read_extractor(wrong, ("f.",), IMAGE, name, None)
