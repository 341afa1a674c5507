"""What quantization-aware training costs: time of learning against the same code in fp32, interleaved.

python benchmarks/qat_speed.py [ALGORITHM...] [--rounds 9]
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from policypress_train.algorithms import ALGORITHMS
from policypress_train.qat.config import QatConfig
from policypress_train.qat.policies import quantized_policy

FORMS = {"fp32": None, "actor": QatConfig(), "all": QatConfig(networks="all")}
# environment, arguments of the algorithm, environment steps of one block
CASES = {
    "dqn": ("LunarLander-v3", {"learning_starts": 64, "train_freq": 4, "policy_kwargs": {"net_arch": [256, 256]}}, 400),
    "ddpg": ("HalfCheetah-v4", {"learning_starts": 300}, 100),
    "td3": ("HalfCheetah-v4", {"learning_starts": 300, "batch_size": 256}, 100),
    "sac": ("HalfCheetah-v4", {"learning_starts": 300}, 100),
    "ppo": ("HalfCheetah-v4", {"n_steps": 2048}, 2048),
    "trpo": ("HalfCheetah-v4", {"n_steps": 2048}, 2048),
}


def made(name: str, form: QatConfig | None) -> BaseAlgorithm:
    """An algorithm that has learned a little, so that every part of it is in use."""
    environment, stated, _ = CASES[name]
    arguments = dict(stated)
    policy = "MlpPolicy"
    if form is not None:
        policy, more = quantized_policy(name, form)
        arguments["policy_kwargs"] = {**arguments.get("policy_kwargs", {}), **more}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ALGORITHMS[name].stock(policy, environment, seed=0, device="cpu", **arguments)
        return model.learn(400)


def cpu_s(model: BaseAlgorithm, steps: int) -> float:
    """CPU seconds of this process for ``steps`` more steps."""
    start_s = time.process_time()
    model.learn(steps, reset_num_timesteps=False)
    return time.process_time() - start_s


def main() -> None:
    """Print one line per algorithm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("algorithms", nargs="*", default=list(CASES))
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| algorithm | fp32 CPU ms per step | QAT, actor | QAT, all networks |\n|---|---|---|---|")
    for name in options.algorithms:
        steps = CASES[name][2]
        models = {form: made(name, config) for form, config in FORMS.items()}
        blocks: dict[str, list[float]] = {form: [] for form in FORMS}
        for _ in range(options.rounds):
            for form, model in models.items():
                blocks[form].append(cpu_s(model, steps))
        # Of blocks that ran one after the other, so that a slow moment of the machine hits both.
        ratio = {
            form: statistics.median(b / a for a, b in zip(blocks["fp32"], blocks[form], strict=True)) for form in FORMS
        }
        per_step_ms = 1e3 * statistics.median(blocks["fp32"]) / steps
        print(f"| {name} | {per_step_ms:.2f} | {ratio['actor']:.2f} × | {ratio['all']:.2f} × |", flush=True)


if __name__ == "__main__":
    main()
