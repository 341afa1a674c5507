"""Recipes on one agent: bytes, how often or how far the action differs, and what is kept of the return.

    python benchmarks/distillation.py AGENT --recipe "equalize > distill(dagger, w=8, a=8)" --episodes 50

The fp32 policy plays the same seeds. Seconds are of this process's CPU time: building, without the episodes.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from policypress import seeding
from policypress.compression.pipeline import build_artifact
from policypress.compression.recipe import Recipe
from policypress.engine.tasks.calibration import Calibration
from policypress.measurement.agent_in_environment import AgentInEnvironment, agent_in_environment
from policypress.measurement.evaluation import runtime_of
from policypress.measurement.returns import measure_returns
from policypress.policy.policy import Policy
from policypress_runtime.contract import Box
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime

COLUMNS = ("agent", "recipe", "packed bytes", "smaller", "actions", "return", "raw return ratio", "CPU s")
HEADER = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def returns(act: object, subject: AgentInEnvironment, seeds: tuple[int, ...]) -> np.ndarray:
    """Episode returns on ``seeds``."""
    rows = measure_returns(act, subject.factory, seeds, max_steps=subject.max_steps)
    return np.array([row.episode_return for row in rows])


def differs(policy: Policy, error: float) -> str:
    """The action error in words: its mean share of the range, or how many decisions agree."""
    return f"{100 * error:.1f} % off" if isinstance(policy.action_space, Box) else f"{100 * (1 - error):.1f} % agree"


def main() -> None:
    """Print one row per recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agent", metavar="AGENT")
    parser.add_argument("--recipe", action="append", required=True, metavar="R")
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    subject = agent_in_environment(arguments.agent)
    worker = Calibration(subject, arguments.seed)
    seeds = seeding.episode_seeds(arguments.seed, seeding.EVALUATION, arguments.episodes)
    baseline = returns(runtime_of(subject.policy).act, subject, seeds)
    whole = 4 * subject.policy.parameter_count()
    name = f"{subject.policy.origin.algorithm} {subject.environment.id if subject.environment else ''}"
    print(HEADER)
    for text in arguments.recipe:
        recipe = Recipe.parse(text)
        materials = worker.materials
        start_s = time.process_time()
        compressed = build_artifact(subject.policy, recipe, materials, arguments.seed)
        build_s = time.process_time() - start_s
        played = returns(OnnxRuntime(compressed.artifact.model).act, subject, seeds)
        ratio = played.mean() / baseline.mean()
        cells = (
            name,
            f"`{recipe.text}`",
            f"{compressed.record.packed_bytes}",
            f"{whole / compressed.record.packed_bytes:.0f}×",
            differs(subject.policy, compressed.record.action_error),
            f"{played.mean():.0f} ± {1.96 * played.std(ddof=1) / np.sqrt(len(played)):.0f}",
            f"{100 * ratio:.1f} %",
            f"{build_s:.0f}",
        )
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
