"""Networks whose hidden features split, add up and meet the observation again."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from checkpoint_policies import ACTION_BOX, ACTIONS, FEATURES, IMAGE, VECTOR
from policypress.policy.policy import Policy

WIDTH = 16


class Residual(nn.Module):
    """h + f(h): both terms lose the same channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)
        self.last = nn.Linear(WIDTH, ACTIONS)

    def forward(self, x: Tensor) -> Tensor:
        """Observation to action."""
        h = torch.relu(self.first(x))
        return self.last(h + torch.relu(self.second(h)))


class AroundObservation(nn.Module):
    """(f(x), x, g(x)): the observation stands between hidden features."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(FEATURES, WIDTH), nn.Linear(FEATURES, WIDTH)
        self.last = nn.Linear(2 * WIDTH + FEATURES, ACTIONS)

    def forward(self, x: Tensor) -> Tensor:
        """Observation to action."""
        return self.last(torch.cat([torch.relu(self.left(x)), x, torch.relu(self.right(x))], 1))


class ObservationResidual(nn.Module):
    """x + g(f(x)): the width of g is the observation's."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, FEATURES)
        self.last = nn.Linear(FEATURES, ACTIONS)

    def forward(self, x: Tensor) -> Tensor:
        """Observation to action."""
        return self.last(x + self.second(torch.relu(self.first(x))))


class Gate(nn.Module):
    """f(x) · sigmoid(g(x))."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(FEATURES, WIDTH), nn.Linear(FEATURES, WIDTH)
        self.last = nn.Linear(WIDTH, ACTIONS)

    def forward(self, x: Tensor) -> Tensor:
        """Observation to action."""
        return self.last(self.value(x) * torch.sigmoid(self.gate(x)))


class Slopes(nn.Module):
    """A PReLU with a slope per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.slopes = nn.Linear(FEATURES, WIDTH), nn.PReLU(WIDTH)
        self.last = nn.Linear(WIDTH, ACTIONS)
        with torch.no_grad():
            self.slopes.weight.copy_(torch.linspace(-0.5, 0.5, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """Observation to action."""
        return self.last(self.slopes(self.first(x)))


class Halves(nn.Module):
    """Two halves of one layer: a slice at a fixed place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH // 2, ACTIONS)

    def forward(self, x: Tensor) -> Tensor:
        """Observation to action."""
        left, right = self.first(x).chunk(2, dim=1)
        return self.last(left * torch.sigmoid(right))


class Normed(nn.Module):
    """A layer normalisation between two layers: every channel depends on all."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(FEATURES, WIDTH), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, ACTIONS)

    def forward(self, x: Tensor) -> Tensor:
        """Observation to action."""
        return self.last(torch.relu(self.norm(self.first(x))))


class SplitConvolutions(nn.Module):
    """A convolution whose halves of outputs see halves of inputs; padding; no bias on it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 8, 4, stride=2, padding=1)
        self.second = nn.Conv2d(8, 6, 3, stride=2, groups=2, bias=False)
        self.last = nn.Linear(6 * 4 * 4, ACTIONS)

    def forward(self, x: Tensor) -> Tensor:
        """Image to action."""
        h = torch.relu(self.second(torch.relu(self.first(x / 255.0))))
        return self.last(h.flatten(1))


def image_policy_of(module: nn.Module) -> Policy:
    """The module, with an image for an observation."""
    return Policy.from_module(module.eval(), IMAGE, ACTION_BOX)


def policy_of(module: nn.Module) -> Policy:
    """The module, with the vector observation and the bounded action of all these tests."""
    return Policy.from_module(module.eval(), VECTOR, ACTION_BOX)
