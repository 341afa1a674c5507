"""Policies, extractors and activations as users write them for Stable-Baselines3; a zip names them by reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

WIDTH = 16


class TwoNets(nn.Module):
    """The names of the library's ``MlpExtractor``, and networks of the user's own under them."""

    def __init__(self, width: int, make: Callable[[int], nn.Sequential]) -> None:
        super().__init__()
        self.latent_dim_pi = self.latent_dim_vf = WIDTH
        self.policy_net, self.value_net = make(width), make(width)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: Tensor) -> Tensor:
        result: Tensor = self.policy_net(features)
        return result

    def forward_critic(self, features: Tensor) -> Tensor:
        result: Tensor = self.value_net(features)
        return result


class Residual(TwoNets):
    def forward_actor(self, features: Tensor) -> Tensor:
        hidden: Tensor = self.policy_net[:2](features)
        result: Tensor = hidden + self.policy_net[2:](hidden)
        return result


def layers(*kinds: Any) -> Callable[[int], nn.Sequential]:
    """A stack of linear layers (``int`` widths) and modules that are made anew for each network."""

    def make(width: int) -> nn.Sequential:
        made: list[nn.Module] = []
        for kind in kinds:
            made.append(nn.Linear(width, kind) if isinstance(kind, int) else kind())
            width = kind if isinstance(kind, int) else width
        return nn.Sequential(*made)

    return make


def policy_of(extractor: type[TwoNets], *kinds: Any) -> type[ActorCriticPolicy]:
    """A policy class that builds ``extractor`` of these layers."""

    class Own(ActorCriticPolicy):
        def _build_mlp_extractor(self) -> None:
            self.mlp_extractor = extractor(self.features_dim, layers(*kinds))  # type: ignore[assignment]

    return Own


def norm() -> nn.Module:
    return nn.LayerNorm(WIDTH)


def batch_norm() -> nn.Module:
    return nn.BatchNorm1d(WIDTH, eps=1e-3)


def dropout() -> nn.Module:
    return nn.Dropout(0.5)


ReluPolicy = policy_of(TwoNets, WIDTH, nn.ReLU, WIDTH, nn.ReLU)
MixedPolicy = policy_of(TwoNets, WIDTH, nn.ReLU, WIDTH, nn.Tanh)
ResidualPolicy = policy_of(Residual, WIDTH, nn.ReLU, WIDTH, nn.ReLU)
NormPolicy = policy_of(TwoNets, WIDTH, nn.ReLU, dropout, WIDTH, nn.ReLU, norm, WIDTH, nn.ReLU)
NormFirstPolicy = policy_of(TwoNets, WIDTH, norm, nn.ReLU, WIDTH, norm, nn.ReLU)
BatchNormPolicy = policy_of(TwoNets, WIDTH, batch_norm, nn.ELU, WIDTH, nn.ELU)


class Swish(nn.Module):
    """SiLU by another name, which no file tells."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


class TanhCnn(BaseFeaturesExtractor):
    """The names of a CNN of the library's, with another activation, and with another scale of the image."""

    def __init__(self, space: spaces.Box, features_dim: int = 16, scale: float = 1.0) -> None:
        super().__init__(space, features_dim)
        self.scale = scale
        convolutions = nn.Conv2d(space.shape[0], 4, 8, 4), nn.Tanh(), nn.Conv2d(4, 4, 4, 2), nn.Tanh(), nn.Flatten()
        self.cnn = nn.Sequential(*convolutions)
        with torch.no_grad():
            width = self.cnn(torch.zeros(1, *space.shape)).shape[1]
        self.linear = nn.Sequential(nn.Linear(width, features_dim), nn.Tanh())

    def forward(self, observations: Tensor) -> Tensor:
        result: Tensor = self.linear(self.cnn(observations * self.scale))
        return result


class FirstThree(BaseFeaturesExtractor):
    """No tensors, and yet not the library's flattening."""

    def __init__(self, space: spaces.Box) -> None:
        super().__init__(space, 3)

    def forward(self, observations: Tensor) -> Tensor:
        return observations[:, :3]
