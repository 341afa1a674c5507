"""``Policy.from_module`` of modules with memory, over whole episodes, in every form that they are written in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from policypress.measurement.evaluation import runtime_of
from policypress.policy.policy import Policy
from policypress_runtime.errors import NetworkError
from recurrent_policies import unbounded

KINDS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class Sequence(nn.Module):
    """Layers that read a sequence of one step."""

    def __init__(self, kind: str, count: int = 1, nested: bool = False, batch_first: bool = False, **more: Any) -> None:
        super().__init__()
        self.kind, self.nested, self.batch_first = kind, nested, batch_first
        self.memory = KINDS[kind](4, 8, count, batch_first=batch_first, **more)
        self.mu = nn.Linear(more.get("proj_size") or 8 * (1 + bool(more.get("bidirectional"))), 2)

    def forward(self, x: Tensor, *states: Any) -> Any:
        given = states[0] if self.nested or self.kind != "lstm" else states
        y, after = self.memory(x[:, None] if self.batch_first else x.unsqueeze(0), given)
        action = torch.tanh(self.mu(y[:, 0] if self.batch_first else y.squeeze(0)))
        return (action, after) if self.nested or self.kind != "lstm" else (action, *after)


class Cells(nn.Module):
    """Cells one behind the other, with a network in front and behind."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Sequential(nn.Linear(4, 6), nn.ELU())
        self.lstm, self.gru, self.rnn = nn.LSTMCell(6, 8), nn.GRUCell(8, 8, bias=False), nn.RNNCell(8, 8)
        self.mu = nn.Linear(16, 2)

    def forward(self, x: Tensor, h: Tensor, c: Tensor, g: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        h, c = self.lstm(self.front(x), (h, c))
        g = self.gru(h, g)
        k = self.rnn(g, k)
        return self.mu(torch.cat([k, h], 1)), h, c, g, k


class BatchInFront(nn.Module):
    """States that have the batch first, moved for the layer and back."""

    def __init__(self) -> None:
        super().__init__()
        self.memory, self.mu = nn.LSTM(4, 8, 2), nn.Linear(8, 2)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> dict[str, Tensor]:
        y, (h, c) = self.memory(x[None], (h.transpose(0, 1), c.permute(1, 0, 2)))
        return {"h": h.transpose(0, 1), "c": c.permute(1, 0, 2), "action": self.mu(y[0])}


class Adding(nn.Module):
    """A memory that is no recurrent layer: the mean of what was met, slowly forgotten."""

    def forward(self, x: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
        mean = 0.9 * mean + 0.1 * x
        return (x - mean)[:, :2], mean


def zeros(count: int, kind: str) -> dict[str, Tensor]:
    return {name: torch.zeros(count, 1, 8) for name in (("h_in", "c_in") if kind == "lstm" else ("h_in",))}


def follow(module: nn.Module, policy: Policy, states: tuple[Any, ...], axis: int, nested: bool = False) -> None:
    """Forty steps of three episodes."""
    torch.manual_seed(1)
    given: Any = tuple(s.repeat_interleave(3, axis) for s in states)
    state = {s.spec.name: v for s, v in zip(policy.states, (g.movedim(axis, 0) for g in given), strict=True)}
    with torch.no_grad():
        for _ in range(40):
            x = torch.randn(3, 4)
            action, state = policy.step(x, state)
            output = module(x, given) if nested else module(x, *given)
            if isinstance(output, dict):
                output = (output.pop("action"), *output.values())
            want, rest = output[0], output[1:]
            given = rest[0] if nested or (len(rest) == 1 and isinstance(rest[0], tuple)) else rest
            torch.testing.assert_close(action, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("count", "nested", "batch_first"), [(1, False, True), (2, True, False), (3, False, False)])
def test_layers_of_one_step(kind: str, count: int, nested: bool, batch_first: bool) -> None:
    torch.manual_seed(0)
    nested = nested and kind == "lstm"
    module = Sequence(kind, count, nested, batch_first).eval()
    policy = Policy.from_module(module, unbounded(4), unbounded(2), state=zeros(count, kind))
    assert [s.spec.shape for s in policy.states] == [(count, 8)] * len(policy.states)
    follow(module, policy, tuple(zeros(count, kind).values()), 1, nested)


def test_cells() -> None:
    torch.manual_seed(0)
    module, states = Cells().eval(), {name: torch.zeros(1, 8) for name in "hcgk"}
    policy = Policy.from_module(module, unbounded(4), unbounded(2), state=states)
    assert [(s.spec.name, s.spec.next_name) for s in policy.states] == [(n, f"{n}_out") for n in "hcgk"]
    follow(module, policy, tuple(states.values()), 0)


def test_states_that_have_the_batch_first() -> None:
    torch.manual_seed(0)
    states = {"h": torch.zeros(1, 2, 8), "c": torch.full((1, 2, 8), 0.5)}
    module = BatchInFront().eval()
    policy = Policy.from_module(module, unbounded(4), unbounded(2), state=states)
    assert policy.states[1].spec.initial == (0.5,) * 16
    assert float(policy.initial_state(3)["c"].min()) == 0.5
    follow(module, policy, tuple(states.values()), 0)


def test_a_memory_of_other_layers() -> None:
    policy = Policy.from_module(Adding(), unbounded(4), unbounded(2), state={"mean": torch.zeros(1, 4)})
    assert [(s.spec.name, s.spec.shape) for s in policy.states] == [("mean", (4,))]
    follow(Adding(), policy, (torch.zeros(1, 4),), 0)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize(
    ("more", "states", "words"),
    [
        ({"bidirectional": True}, {"h_in": (2, 1, 8), "c_in": (2, 1, 8)}, "bidirectional"),
        ({"proj_size": 3}, {"h_in": (1, 1, 3), "c_in": (1, 1, 8)}, "proj_size"),
    ],
)
def test_what_is_not_supported_is_named(more: Any, states: Any, words: str) -> None:
    given = {name: torch.zeros(*shape) for name, shape in states.items()}
    with pytest.raises(NetworkError, match=words):
        Policy.from_module(Sequence("lstm", 1, **more), unbounded(4), unbounded(2), state=given)


def test_states_of_another_form_are_refused() -> None:
    for state in ({"h": torch.zeros(1, 7)}, {"h": torch.zeros(2, 4)}, {"h": torch.zeros(1, 4), "g": torch.zeros(1, 4)}):
        with pytest.raises(NetworkError):
            Policy.from_module(Adding(), unbounded(4), unbounded(2), state=state)
    with pytest.raises(NetworkError, match="take and give its state"):
        Policy.from_module(nn.Bilinear(4, 4, 2), unbounded(4), unbounded(2), state={"h": torch.zeros(1, 4)})


@pytest.mark.shared
@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
def test_a_walking_robot_by_its_weights(robots: Path) -> None:
    """As docs/recurrent.md shows it."""

    class Walking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory = nn.LSTM(47, 64)
            self.actor = nn.Sequential(nn.Linear(64, 32), nn.ELU(), nn.Linear(32, 12))

        def forward(self, observation: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
            out, (h, c) = self.memory(observation[None], (h, c))
            return self.actor(out[0]), h, c

    weights = torch.jit.load(str(robots / "unitree_g1_lstm" / "motion.pt")).state_dict()
    walking, zeros = Walking(), torch.zeros(1, 1, 64)
    walking.load_state_dict({name: weights[name] for name in walking.state_dict()})
    policy = Policy.from_module(walking, unbounded(47), unbounded(12), state={"h_in": zeros, "c_in": zeros})
    check, runtime = np.load(robots / "unitree_g1_lstm" / "motion.check.npz"), runtime_of(policy)
    got = np.stack([runtime.act(row) for row in check["x"]])
    np.testing.assert_array_less(np.abs(got - check["y"]), 1e-5 * (1 + np.abs(check["y"])))
