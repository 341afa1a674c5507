"""Train the two agents that this repository ships, and strip each to its policy.

    python examples/agents/train_examples.py dqn CartPole-v1 --steps 50000 --seed 1
    python examples/agents/train_examples.py sac HalfCheetah-v4 --steps 350000 --seed 1

One thread each. The stripped file is a Stable-Baselines3 zip without optimizer, critics, target
networks and pickled fields: what remains is the JSON description and the tensors that act.
"""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from pathlib import Path

import gymnasium as gym
import torch
from stable_baselines3 import DQN, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

KEPT_FIELDS = (
    "policy_class",
    "policy_kwargs",
    "observation_space",
    "action_space",
    "use_sde",
    "num_timesteps",
    "seed",
)
ACTING_PREFIX = {"dqn": "q_net.", "sac": "actor."}
ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"dqn": DQN, "sac": SAC}
# DQN CartPole: the published RL Zoo settings; SAC HalfCheetah: SB3's defaults, warm-up 10 000 steps.
HYPERPARAMETERS: dict[str, dict[str, object]] = {
    "dqn": {
        "learning_rate": 2.3e-3,
        "batch_size": 64,
        "buffer_size": 100_000,
        "learning_starts": 1000,
        "target_update_interval": 10,
        "train_freq": 256,
        "gradient_steps": 128,
        "exploration_fraction": 0.16,
        "exploration_final_eps": 0.04,
        "policy_kwargs": {"net_arch": [256, 256]},
    },
    "sac": {"learning_starts": 10_000, "buffer_size": 400_000},
}


def strip(full: bytes, prefix: str, env_id: str) -> dict[str, bytes]:
    """Members of the policy-only zip: readable fields of ``data`` and the acting tensors."""
    with zipfile.ZipFile(io.BytesIO(full)) as archive:
        data = json.loads(archive.read("data"))
        tensors = torch.load(io.BytesIO(archive.read("policy.pth")), weights_only=True)
        version = archive.read("_stable_baselines3_version")
    fields = {key: data[key] for key in KEPT_FIELDS if key in data}
    for value in fields.values():
        if isinstance(value, dict):
            value.pop(":serialized:", None)
            for name in [name for name in value if name.startswith("__") and name != "__module__"]:
                value.pop(name)
            for name in [n for n, v in value.items() if isinstance(v, str) and " at 0x" in v]:
                value.pop(name)
    fields["env_id"] = env_id
    kept = {key: value.contiguous().clone() for key, value in tensors.items() if key.startswith(prefix)}
    buffer = io.BytesIO()
    torch.save(kept, buffer)
    return {
        "data": json.dumps(fields, indent=1).encode(),
        "policy.pth": buffer.getvalue(),
        "_stable_baselines3_version": version,
    }


def write_stripped(model: BaseAlgorithm, algorithm: str, env_id: str, path: Path) -> None:
    """Save ``model`` through SB3, then write the policy-only zip to ``path`` (atomically)."""
    full = io.BytesIO()
    model.save(full)
    members = strip(full.getvalue(), ACTING_PREFIX[algorithm], env_id)
    temporary = path.with_suffix(".tmp")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    temporary.replace(path)


class KeepBest(BaseCallback):
    """Every ``interval`` steps: 10 deterministic episodes; keep the best policy seen, with a log."""

    def __init__(self, algorithm: str, env_id: str, path: Path, interval: int) -> None:
        super().__init__()
        self.algorithm, self.env_id, self.path, self.interval = algorithm, env_id, path, interval
        self.env = Monitor(gym.make(env_id))
        self.best = -float("inf")
        self.log: list[dict[str, float]] = []

    def _on_step(self) -> bool:
        if self.num_timesteps % self.interval == 0:
            mean, std = evaluate_policy(self.model, self.env, n_eval_episodes=10)
            self.log.append({"steps": self.num_timesteps, "return_mean": float(mean), "return_std": float(std)})
            print(f"{self.num_timesteps} steps: {mean:.1f} +- {std:.1f}", flush=True)
            if float(mean) > self.best:
                self.best = float(mean)
                write_stripped(self.model, self.algorithm, self.env_id, self.path)
            record = {"algorithm": self.algorithm, "environment": self.env_id, "evaluations": self.log}
            self.path.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
        return True


def main() -> None:
    """Train one agent and leave ``<algorithm>-<environment>.zip`` and ``.json`` beside this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("algorithm", choices=sorted(ALGORITHMS))
    parser.add_argument("environment")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--interval", type=int, default=10_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    name = f"{arguments.algorithm}-{arguments.environment}"
    path = Path(__file__).parent / f"{name}.zip"
    callback = KeepBest(arguments.algorithm, arguments.environment, path, arguments.interval)
    model = ALGORITHMS[arguments.algorithm](
        "MlpPolicy",
        gym.make(arguments.environment),
        seed=arguments.seed,
        device="cpu",
        **HYPERPARAMETERS[arguments.algorithm],  # type: ignore[arg-type]
    )
    model.learn(arguments.steps, callback=callback)


if __name__ == "__main__":
    main()
