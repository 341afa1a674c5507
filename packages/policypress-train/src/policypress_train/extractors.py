"""Features extractors besides the library's own, by the names that select them.

A zip names the class, so that Stable-Baselines3 finds it where policypress is installed; policypress's own reader knows
it by this module's name (``agent/defaults.py``): do not move it.
"""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium
import torch
from jaxtyping import Float
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from policypress_runtime.errors import TrainingInputError


class MnihCnn(BaseFeaturesExtractor):
    """The CNN of the first DQN: 16 kernels 8×8, stride 4; 32 kernels 4×4, stride 2; 256 units; ReLU after each.

    Of an Atari screen, 84×84×4, it makes 20×20×16, then 9×9×32, then 256 features; the library's ``NatureCNN`` is its
    successor, with a third convolution and 512 units. Li 2023, section 3.2, describes this network.

    Source: Mnih et al., Playing Atari with Deep Reinforcement Learning (2013), section 4.1.

    Args:
        observation_space: images, channels first.
        features_dim: units of the last layer.

    Raises:
        TrainingInputError: observations that are not images, or are smaller than the kernels.
    """

    def __init__(self, observation_space: gymnasium.Space[object], features_dim: int = 256) -> None:
        if not isinstance(observation_space, gymnasium.spaces.Box) or not is_image_space(
            observation_space, check_channels=False
        ):
            raise TrainingInputError(
                "The extractor mnih2013 needs images.",
                got=str(observation_space),
                expected="bytes of shape (channels, height, width)",
                hint="Leave the extractor out: vectors do not need one.",
            )
        if min(observation_space.shape[1:]) < _LEAST:
            raise TrainingInputError(
                "The images are too small for the extractor mnih2013.",
                got=str(observation_space.shape),
                expected=f"at least {_LEAST} × {_LEAST}",
            )
        super().__init__(observation_space, features_dim)
        # Named as the library names the layers of its own CNN.
        self.cnn = nn.Sequential(
            nn.Conv2d(observation_space.shape[0], 16, kernel_size=8, stride=4),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=4, stride=2),
            nn.ReLU(),
            nn.Flatten(),
        )
        with torch.no_grad():
            flat = self.cnn(torch.zeros(1, *observation_space.shape)).shape[1]
        self.linear = nn.Sequential(nn.Linear(flat, features_dim), nn.ReLU())

    def forward(self, observations: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch features"]:
        """Images with values from 0 to 1 → features."""
        features: Tensor = self.linear(self.cnn(observations))
        return features


_LEAST = 20
EXTRACTORS: Mapping[str, type[BaseFeaturesExtractor]] = {"mnih2013": MnihCnn}
