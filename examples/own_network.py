"""A network of your own as an agent: any feed-forward ``torch.nn.Module``, in any environment.

    python examples/own_network.py [folder]

The module balances CartPole-v1 with two branches, one that looks at the cart and one that looks at the pole. It is
turned into a policy, pressed to int8, and both are played on the same seeds. Results go to ``folder``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import gymnasium
import torch
from torch import Tensor, nn

from policypress import Policy, compress
from policypress.engine.store.reader import StoreReader

RECIPE = "equalize > int8"
EPISODES = 5


class CartPoleController(nn.Module):
    """Scores for pushing left and right, ``(batch, 2)``, from an observation ``(batch, 4)``."""

    def __init__(self) -> None:
        super().__init__()
        self.cart = nn.Linear(2, 2)
        self.pole = nn.Linear(2, 2)
        self.hidden = nn.Sequential(nn.Linear(4, 8), nn.Tanh())
        self.scores = nn.Linear(8, 2)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            # Push to the side the pole falls to, and a little towards where the cart drifts.
            self.cart.weight.copy_(torch.tensor([[0.1, 0.2], [-0.1, -0.2]]))
            self.pole.weight.copy_(torch.tensor([[1.0, 0.4], [-1.0, -0.4]]))
            mix = torch.tensor([[0.3, -0.3, 0.6, -0.6]]) * (1 + torch.rand(8, 1, generator=generator))
            self.hidden[0].weight.copy_(mix)
            self.scores.weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, 8))
            for layer in (self.cart, self.pole, self.hidden[0], self.scores):
                layer.bias.zero_()

    def forward(self, observation: Tensor) -> Tensor:
        """Observation batch to scores."""
        branches = torch.cat([self.cart(observation[:, :2]), self.pole(observation[:, 2:])], dim=1)
        return self.scores(self.hidden(branches))


def main(folder: Path) -> Policy:
    env = gymnasium.make("CartPole-v1")
    policy = Policy.from_module(CartPoleController(), env.observation_space, env.action_space)
    env.close()
    print(policy)
    done = compress(policy, [RECIPE], env="CartPole-v1", output=folder, episodes=EPISODES, executor="debug")
    with StoreReader(done.store) as reader:
        for name, key in done.cells.items():
            returns = [episode.episode_return for episode in reader.episodes(key)]
            print(f"{name:20} mean return {sum(returns) / len(returns):6.1f} over {len(returns)} episodes")
    print(f"artifacts and results: {folder}")
    return policy


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="own-network-")))
