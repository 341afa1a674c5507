"""Random feed-forward networks for the importers' property tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

from policypress_runtime.contract import Box, DictSpace, Discrete, Space, box

ACTIVATIONS = (
    nn.ReLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.LeakyReLU,
    nn.SiLU,
    nn.GELU,
    nn.Mish,
    nn.Softplus,
    nn.Softsign,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Hardtanh,
    nn.ReLU6,
    nn.PReLU,
    nn.LogSigmoid,
    nn.Tanhshrink,
)
UNBOUNDED = (-np.inf, np.inf)


@dataclass(frozen=True)
class Case:
    module: nn.Module
    observations: Space
    actions: Space


class Residual(nn.Module):
    def __init__(self, width: int, activation: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(width, width), norm, activation, nn.Dropout(0.3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class Vision(nn.Module):
    """A dict of an image, a vector and a number; two branches and an embedding."""

    def __init__(self, activation: nn.Module, padding: int, stride: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=stride, padding=padding), nn.BatchNorm2d(4), activation, nn.MaxPool2d(2)
        )
        self.vector = nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), activation)
        self.number = nn.Embedding(4, 3)
        self.head = nn.Linear(4 + 6 + 3, out)

    def forward(self, observation: dict[str, Tensor]) -> Tensor:
        image = self.conv(observation["image"].permute(0, 3, 1, 2).float() / 255.0)
        features = [image.mean(dim=(2, 3)), self.vector(observation["vector"]), self.number(observation["number"])]
        return self.head(torch.cat(features, dim=1))


class Duelling(nn.Module):
    """A duelling head over a shared trunk that is used twice."""

    def __init__(self, width: int, activation: nn.Module, out: int) -> None:
        super().__init__()
        self.trunk = nn.Linear(width, width)
        self.activation = activation
        self.value, self.advantage = nn.Linear(width, 1), nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        h = self.activation(self.trunk(self.activation(self.trunk(x))))
        advantage = self.advantage(h)
        return self.value(h) + advantage - advantage.mean(dim=1, keepdim=True)


class Entities(nn.Module):
    """A set of entities, encoded alike and pooled."""

    def __init__(self, features: int, activation: nn.Module, out: int) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(features, 7), activation)
        self.head = nn.Linear(14, out)

    def forward(self, x: Tensor) -> Tensor:
        encoded = self.encode(x)
        return self.head(torch.cat([encoded.amax(dim=1), F.normalize(encoded.sum(dim=1))], dim=-1))


def settle(module: nn.Module) -> nn.Module:
    """Statistics and weights that are not the initial ones, so that a forgotten part shows."""
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            elif tensor.dim() == 1 and tensor.is_floating_point():
                tensor.add_(torch.randn_like(tensor) * 0.2)
    return module.eval()


@dataclass(frozen=True)
class Plan:
    """What to draw; :func:`build` makes the network of it."""

    seed: int
    kind: str
    activation: type[nn.Module]
    norm: type[nn.Module]
    width: int
    out: int
    choice: int
    flag: bool


plans = st.builds(
    Plan,
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(("mlp", "residual", "duelling", "vision", "entities")),
    activation=st.sampled_from(ACTIVATIONS),
    norm=st.sampled_from((nn.LayerNorm, nn.BatchNorm1d, nn.Identity)),
    width=st.integers(2, 9),
    out=st.integers(1, 4),
    choice=st.integers(0, 2),
    flag=st.booleans(),
)


def build(plan: Plan) -> Case:
    """The network of ``plan``, with weights from its seed."""
    torch.manual_seed(plan.seed)
    activation, width, out = plan.activation(), plan.width, plan.out
    vector = box((width,), "float32", *UNBOUNDED)
    bounded = Box((out,), "float32", (-1.0,), (0.5,))
    if plan.kind == "mlp":
        parts = [nn.Linear(width, 8, bias=plan.flag), activation, nn.Linear(8, out), nn.Tanh()]
        return Case(settle(nn.Sequential(*parts)), vector, bounded)
    if plan.kind == "residual":
        blocks = [Residual(width, activation, plan.norm(width)) for _ in range(2)]
        return Case(settle(nn.Sequential(*blocks, nn.Linear(width, out))), vector, bounded)
    if plan.kind == "duelling":
        return Case(settle(Duelling(width, activation, out + 1)), vector, Discrete(out + 1, start=plan.choice))
    if plan.kind == "entities":
        entities = box((2 + plan.choice, width), "float32", *UNBOUNDED)
        return Case(settle(Entities(width, activation, out)), entities, bounded)
    spaces = DictSpace(
        (
            ("image", box((9, 8, 3), "uint8", 0, 255)),
            ("number", Discrete(4)),
            ("vector", box((5,), "float32", *UNBOUNDED)),
        )
    )
    return Case(settle(Vision(activation, int(plan.flag), 1 + plan.choice % 2, out)), spaces, bounded)
