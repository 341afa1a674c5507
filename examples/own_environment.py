"""Compress an agent in an environment of your own.

Run from this folder:

    python own_environment.py

or on the command line, where the module must be importable (here: run from this folder):

    policypress compress agents/dqn-CartPole-v1.zip --env own_environment:WindyCartPole-v0 \
        --env-kwargs wind=0.3 --recipe "equalize > int8" --episodes 5 -o out/windy
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control import CartPoleEnv

from policypress import compress
from policypress.engine.store.reader import StoreReader
from policypress.report.recipe_results import read_rows

AGENT = Path(__file__).parent / "agents" / "dqn-CartPole-v1.zip"


class WindyCartPole(CartPoleEnv):
    """CartPole with a push of random strength on the cart at every step."""

    def __init__(self, wind: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.wind = wind

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step, after a gust."""
        if self.state is not None:
            gust = self.np_random.normal(0.0, self.wind)
            x, x_dot, theta, theta_dot = self.state
            self.state = np.array([x, x_dot + 0.02 * gust, theta, theta_dot], dtype=np.float64)
        return super().step(action)


gymnasium.register("WindyCartPole-v0", entry_point=f"{__name__}:WindyCartPole", max_episode_steps=500)


def windy() -> gymnasium.Env[Any, Any]:
    """What ``env_fn`` wants: a function that makes the environment."""
    return gymnasium.wrappers.TimeLimit(WindyCartPole(wind=0.3), max_episode_steps=500)


def main(output: Path) -> None:
    """Compress, and print what each recipe keeps."""
    # A function of a script cannot be sent to other processes, so this runs in this one.
    done = compress(AGENT, ["ptdq", "equalize > int8"], output=output, episodes=5, env_fn=windy, executor="debug")
    with StoreReader(done.store) as store:
        for row in read_rows(store, done.cells):
            print(f"{row.name:20} mean return {np.mean(row.returns):6.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/own_environment"))
