"""Recurrent actors in rsl_rl's checkpoints, of every version, against torch's own layers; pairs are sequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from policypress.agents.loading import load_agent
from policypress.agents.stated_overrides import stated_overrides
from policypress.policy.importers.from_agent import policy_from_agent
from policypress_runtime.errors import AgentError, DamagedAgentError, NetworkError

INPUTS, UNITS, ACTIONS, ROWS = 6, 8, 3, 40
KINDS = {"lstm": nn.LSTM, "gru": nn.GRU}


class Actor(nn.Module):
    """An actor as rsl_rl has it: normalised, remembered, then a chain of layers."""

    def __init__(self, kind: str, count: int) -> None:
        super().__init__()
        self.rnn = KINDS[kind](INPUTS, UNITS, count)
        self.mlp = nn.Sequential(nn.Linear(UNITS, 12), nn.ELU(), nn.Linear(12, ACTIONS))
        self.mean, self.deviation = torch.randn(1, INPUTS), torch.rand(1, INPUTS) + 0.5

    def play(self, observations: Tensor, starts: list[int]) -> Tensor:
        """The actions of episodes that begin at ``starts``."""
        parts = []
        for first, last in zip(starts, [*starts[1:], len(observations)], strict=True):
            seen = (observations[first:last] - self.mean) / (self.deviation + 1e-2)
            parts.append(self.mlp(self.rnn(seen[:, None])[0][:, 0]))
        return torch.cat(parts)

    def content(self, version: int) -> dict[str, Any]:
        """What the framework saves."""
        statistics = {"_mean": self.mean, "_std": self.deviation, "_var": self.deviation**2, "count": torch.ones(())}
        memory, chain = ("rnn.rnn.", "mlp.") if version == 5 else ("memory_a.rnn.", "actor.")
        tensors = {f"{memory}{name}": value for name, value in self.rnn.state_dict().items()}
        tensors |= {f"{chain}{name}": value for name, value in self.mlp.state_dict().items()}
        if version == 2:
            return {"model_state_dict": tensors, "obs_norm_state_dict": statistics, "iter": 1, "infos": None}
        inside = "obs_normalizer." if version == 5 else "actor_obs_normalizer."
        tensors |= {f"{inside}{name}": value for name, value in statistics.items()}
        return {"actor_state_dict" if version == 5 else "model_state_dict": tensors, "iter": 1, "infos": None}


def sequence(actor: Actor, starts: list[int], path: Path) -> Path:
    observations = torch.randn(ROWS, INPUTS)
    begins = np.isin(np.arange(ROWS), starts)
    with torch.no_grad():
        actions = actor.play(observations, starts).numpy()
    more = {"episode_starts": begins} if len(starts) > 1 else {}
    np.savez(path, observations=observations.numpy(), actions=actions, **more)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("version", "count", "starts"), [(2, 1, [0]), (3, 2, [0, 7, 25]), (5, 1, [0, 20])])
def test_it_acts_as_torch_does(kind: str, version: int, count: int, starts: list[int], tmp_path: Path) -> None:
    torch.manual_seed(0)
    actor = Actor(kind, count)
    path = tmp_path / "model_1.pt"
    torch.save(actor.content(version), path)
    stated = stated_overrides(activation="elu", check=sequence(actor, starts, tmp_path / "pairs.npz"))
    policy = policy_from_agent(load_agent(path, overrides=stated))
    assert policy.state_names == (("h_in", "c_in") if kind == "lstm" else ("h_in",))
    assert policy.states[0].spec.shape == (count, UNITS)
    assert policy.origin.checked is not None
    assert policy.origin.checked.pairs == ROWS


def test_pairs_out_of_order_are_not_the_policy_s(tmp_path: Path) -> None:
    """Single steps would agree with a memory that is never used; the sequence does not."""
    torch.manual_seed(0)
    actor = Actor("gru", 1)
    path, pairs = tmp_path / "model_1.pt", sequence(actor, [0], tmp_path / "pairs.npz")
    torch.save(actor.content(3), path)
    with np.load(pairs) as stored:
        np.savez(pairs, observations=stored["observations"][::-1], actions=stored["actions"][::-1])
    with pytest.raises(NetworkError, match="does not compute the actions"):
        policy_from_agent(load_agent(path, overrides=stated_overrides(activation="elu", check=pairs)))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"weight_hh_l0": torch.ones(10, 5)}, "neither an LSTM nor a GRU"),
        ({"weight_hr_l0": torch.ones(4, 8)}, "projects"),
        ({"weight_ih_l0_reverse": torch.ones(24, 6)}, "both directions"),
        ({"weight_ih_l0": torch.ones(24, 6, 1)}, "weight_ih_l0"),
        ({"bias_hh_l0": torch.ones(23)}, "bias_hh_l0"),
        ({"weight_hh_l1": torch.ones(24, 8)}, "weight_ih_l1"),
    ],
)
def test_other_memories_are_named(more: dict[str, Tensor], words: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    content = Actor("gru", 1).content(3)
    content["model_state_dict"] |= {f"memory_a.rnn.{name}": value for name, value in more.items()}
    torch.save(content, tmp_path / "model_1.pt")
    with pytest.raises(AgentError, match=words):
        load_agent(tmp_path / "model_1.pt", overrides=stated_overrides(activation="elu"))


def test_a_memory_that_does_not_fit_its_actor(tmp_path: Path) -> None:
    torch.manual_seed(0)
    content = Actor("lstm", 1).content(5)
    content["actor_state_dict"]["mlp.0.weight"] = torch.ones(12, UNITS + 1)
    torch.save(content, tmp_path / "model_1.pt")
    with pytest.raises(DamagedAgentError, match=r"(?s)layers do not fit.*9 numbers after one that gives 8"):
        load_agent(tmp_path / "model_1.pt", overrides=stated_overrides(activation="elu"))
