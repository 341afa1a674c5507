from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from checkpoint_policies import POLICIES, cnn_dqn, normalised_ppo, observations_of, sac
from policypress.compression.distillation import training as distill_training
from policypress.compression.distillation.objective import objective_of
from policypress.compression.distillation.student import student_of
from policypress.compression.distillation.training import LEARNING_RATE, FlatAdam, Trainer
from policypress.environments.batches import joined
from policypress.export.parity import to_tensors
from policypress.policy.policy import Policy


def trainer(policy: Policy, hidden: tuple[int, ...] = (8,), steps: int = 60, count: int = 256) -> Trainer:
    generator = torch.Generator().manual_seed(0)
    observations = observations_of(policy.observation_space, count)
    objective = objective_of(policy, observations)
    student = student_of(policy, observations, objective.units(), hidden, "relu", generator)
    result = Trainer(student, policy, objective, steps=steps, batch=32, generator=generator)
    result.add(observations)
    return result


def test_flat_adam_is_adam() -> None:
    generator = torch.Generator().manual_seed(0)
    mine = [
        torch.randn(3, 4, generator=generator).requires_grad_(),
        torch.randn(5, generator=generator).requires_grad_(),
    ]
    theirs = [parameter.detach().clone().requires_grad_() for parameter in mine]
    flat, reference = FlatAdam(mine), torch.optim.Adam(theirs, lr=0.01)

    def loss(parameters: list[Tensor]) -> Tensor:
        return (parameters[0].sin().sum() + (parameters[1] ** 3).sum()) ** 2

    for _ in range(20):
        for parameters in (mine, theirs):
            optimizer = flat if parameters is mine else reference
            optimizer.zero_grad()
            loss(parameters).backward()  # type: ignore[no-untyped-call]
        flat.step(0.01)
        reference.step()
    for left, right in zip(mine, theirs, strict=True):
        torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", POLICIES)
def test_kept_values_are_enough_to_run_the_student(name: str) -> None:
    policy = POLICIES[name]()
    learning = trainer(policy)
    batch = to_tensors(observations_of(policy.observation_space, 16, seed=5))
    with torch.no_grad():
        kept = learning._plan.prepare(batch)
        values = learning._plan.run(kept, None)
        want = learning.student.run(batch)
    decides = learning.student.scores_node or policy.nodes[-1].name
    assert torch.equal(values[decides], want[decides])
    assert all(value.dim() <= 2 or value.dtype == torch.uint8 for value in kept.values())


@pytest.mark.parametrize("build", [sac, normalised_ppo, cnn_dqn])
def test_the_loss_falls_in_float_and_with_integers(build: type[Policy]) -> None:
    learning = trainer(build(), steps=160)
    first = learning.train(20)
    later = learning.train(60)
    assert later < 0.9 * first
    learning.quantize(8, 8)
    assert learning.train(80) < later * 1.2
    assert learning.steps_done == 160


def test_what_is_trained_is_what_comes_out() -> None:
    policy = sac()
    learning = trainer(policy)
    learning.train(20)
    learning.quantize(5, 6)
    learning.train(20)
    batch = to_tensors(observations_of(policy.observation_space, 64, seed=9))
    with torch.no_grad():
        values = learning._plan.run(learning._plan.prepare(batch), learning.quantizers)
        out = learning.policy()(batch)
    torch.testing.assert_close(values[policy.nodes[-1].name], out, atol=1e-4, rtol=1e-4)
    finished = learning.finished(fold_inputs=False)
    torch.testing.assert_close(finished(batch).detach(), out, atol=1e-4, rtol=1e-4)


def test_the_learning_rate_falls_to_nothing() -> None:
    learning = trainer(sac(), steps=40)
    rates: list[float] = []
    step = learning._optimizer.step
    learning._optimizer.step = lambda rate: (rates.append(rate), step(rate))[1]  # type: ignore[method-assign, func-returns-value]
    learning.train(25)
    learning.train(15)
    assert rates[0] == LEARNING_RATE
    assert rates[20] == pytest.approx(LEARNING_RATE / 2)
    assert 0 < rates[-1] < 0.01 * LEARNING_RATE
    assert rates == sorted(rates, reverse=True)


def test_whoever_asks_is_told_and_the_training_stays_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distill_training, "_TELLING_S", 0.0)
    told: list[tuple[float, float]] = []
    listened, quiet = trainer(sac()), trainer(sac())
    assert listened.train(60, lambda loss, error: told.append((loss, error))) == quiet.train(60)
    assert len(told) == 4  # every 16 steps, and at the end
    assert told[-1][0] < told[0][0]
    assert 0 < told[-1][1] < told[0][1] < 1
    for mine, theirs in zip(listened.student.parameters(), quiet.student.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_nothing_to_train_has_no_loss() -> None:
    assert math.isnan(trainer(sac()).train(0))


def test_more_observations_are_learned_from_too() -> None:
    policy = sac()
    first, second = (observations_of(policy.observation_space, 100, seed) for seed in (0, 1))
    apart, together = trainer(policy, count=64), trainer(policy, count=64)
    apart.add(first)
    apart.add(second)
    together.add(joined(first, second))
    assert len(apart._targets) == 264
    assert torch.equal(apart._targets, together._targets)
    assert all(torch.equal(value, together._inputs[name]) for name, value in apart._inputs.items())
