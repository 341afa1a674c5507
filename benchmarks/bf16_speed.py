"""Would bfloat16 make the fast update faster? SAC with its critics and the actor's hidden layers under autocast.

    python benchmarks/bf16_speed.py [--turns 9]

Two trainings of one spec take turns in short blocks; CPU seconds count, on one thread. The output layers, the actions'
density, losses and Adam stay in single precision. It is an experiment: no training of policypress computes so.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import torch
from training_speed import CASES, Training, forms_of

STEPS = 25


def in_bfloat16(network: Any) -> None:
    """Let ``network`` compute under autocast and answer in single precision."""
    original = network.forward

    def forward(*inputs: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = original(*inputs)
        return tuple(value.float() for value in found) if isinstance(found, tuple) else found.float()

    network.forward = forward


def main() -> None:
    """Print the ratio of the times with its quartiles."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=9)
    turns = parser.parse_args().turns
    torch.set_num_threads(1)
    case = next(case for case in CASES if case.algorithm == "sac")
    single, half = (Training(forms_of(case)["fast"], case.warm_up) for _ in range(2))
    model: Any = half._model
    for network in (model.critic, model.critic_target, model.actor.latent_pi):
        in_bfloat16(network)
    ratios = [single.seconds_a_step(STEPS) / half.seconds_a_step(STEPS) for _ in range(turns)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"SAC {case.environment}: bfloat16 is {middle:.2f} ({low:.2f}–{high:.2f}) times as fast")


if __name__ == "__main__":
    main()
