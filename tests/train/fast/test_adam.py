"""Steps of Adam in one operation are Adam's, and its state stays in the optimizer."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch

from policypress_train.fast.adam import AdamStep


def network() -> torch.nn.Sequential:
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 2))


def loss_of(module: torch.nn.Module, index: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(index)
    return module(torch.randn(16, 5, generator=generator)).square().mean()  # type: ignore[no-any-return]


def stepped(optimizer: torch.optim.Optimizer, module: torch.nn.Module, count: int, start: int = 0) -> None:
    step = AdamStep(optimizer)
    for index in range(start, start + count):
        step.minimise(loss_of(module, index))


def assert_same(left: torch.nn.Module, right: torch.nn.Module) -> None:
    for mine, other in zip(left.parameters(), right.parameters(), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("arguments", [{}, {"betas": (0.5, 0.9), "eps": 1e-4, "weight_decay": 0.1}])
def test_it_is_torch_s_adam(arguments: dict[str, Any]) -> None:
    ours, theirs = network(), network()
    stepped(torch.optim.Adam(ours.parameters(), lr=1e-2, **arguments), ours, 20)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-2, **arguments)
    for index in range(20):
        optimizer.zero_grad()
        loss_of(theirs, index).backward()
        optimizer.step()
    assert_same(ours, theirs)


def test_it_goes_on_from_a_loaded_state_even_of_torch_s_own_steps() -> None:
    ours, theirs = network(), network()
    first = torch.optim.Adam(ours.parameters(), lr=1e-2)
    stepped(first, ours, 5)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-2)
    optimizer.load_state_dict(deepcopy(first.state_dict()))
    theirs.load_state_dict(ours.state_dict())
    step = AdamStep(optimizer)
    optimizer.load_state_dict(deepcopy(first.state_dict()))  # after the step object was made
    step.minimise(loss_of(theirs, 5))
    stepped(first, ours, 1, start=5)
    assert_same(ours, theirs)


@pytest.mark.parametrize("kind", ["other", "hook", "unused"])
def test_what_cannot_be_fused_takes_the_optimizer_s_own_step(kind: str) -> None:
    module = network()
    extra = torch.nn.Parameter(torch.ones(3))
    parameters = [*module.parameters(), *([extra] if kind == "unused" else [])]
    optimizer: torch.optim.Optimizer = torch.optim.Adam(parameters, lr=1e-2)
    if kind == "other":
        optimizer = torch.optim.SGD(parameters, lr=1e-2)
    seen: list[float] = []
    if kind == "hook":
        optimizer.register_step_pre_hook(lambda *_: seen.append(float(parameters[0].grad.abs().sum())))
    before = parameters[0].detach().clone()
    stepped(optimizer, module, 2)
    assert not torch.equal(before, parameters[0])
    assert torch.equal(extra, torch.ones(3))
    assert len(seen) == (2 if kind == "hook" else 0)
    assert all(value > 0 for value in seen)
