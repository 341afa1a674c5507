"""Which rule of equalisation keeps most return: hidden and input scales compared on real agents.

Prints a Markdown table: for each rule the return, in per cent of the fp32 policy's on the same seeds, of
``equalize`` followed by ``int8``, ``ptsq`` and ``ptdq``. The rules that ``equalize`` uses come first.

    python benchmarks/equalisation.py examples/agents/sac-HalfCheetah-v4.zip --episodes 10
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from policypress.compression.pipeline import build_artifact
from policypress.compression.quantization import equalize
from policypress.compression.recipe import Recipe
from policypress.engine.tasks.calibration import Calibration
from policypress.measurement.agent_in_environment import AgentInEnvironment, agent_in_environment
from policypress.measurement.returns import measure_returns
from policypress.policy.policy import Policy
from policypress.records import EvaluationProtocol
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime

QUANTIZERS = ("int8", "ptsq", "ptdq")
HiddenRule = Callable[[Tensor, Tensor, Tensor], Tensor]
InputRule = Callable[[Tensor, Tensor], Tensor]
TINY = torch.finfo(torch.float32).tiny


def square_root(rows: Tensor, peak: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """s = √(r / w) and which channels were ever active."""
    reach = torch.maximum(rows / rows.max().clamp(min=TINY), peak / peak.max().clamp(min=TINY))
    return (reach / columns.clamp(min=TINY)).sqrt(), (peak > 0) & (rows > 0) & (columns > 0)


def sleeping_own(rows: Tensor, peak: Tensor, columns: Tensor) -> Tensor:
    """A channel that was never active gets what the formula says of its weights alone."""
    scale, _ = square_root(rows, peak, columns)
    return torch.where((rows > 0) & (columns > 0), scale, 1.0)


def sleeping_least(rows: Tensor, peak: Tensor, columns: Tensor) -> Tensor:
    """A channel that was never active gets the least scale of the others."""
    scale, active = square_root(rows, peak, columns)
    return torch.where(active, scale, scale[active].min()) if bool(active.any()) else torch.ones_like(scale)


def sleeping_capped(rows: Tensor, peak: Tensor, columns: Tensor) -> Tensor:
    """A channel that was never active may widen its column up to the widest of the others."""
    scale, active = square_root(rows, peak, columns)
    if not bool(active.any()):
        return torch.ones_like(scale)
    widest = (columns * scale)[active].max()
    return torch.where(active, scale, torch.minimum(scale, widest / columns.clamp(min=TINY)))


def no_hidden(rows: Tensor, peak: Tensor, columns: Tensor) -> Tensor:
    """Hidden layers as they are."""
    return torch.ones_like(rows)


def powers(alpha: float) -> InputRule:
    """s = x^α / w^(1 − α)."""

    def rule(peak: Tensor, columns: Tensor) -> Tensor:
        balanced = peak.clamp(min=TINY) ** alpha / columns.clamp(min=TINY) ** (1 - alpha)
        return torch.where(peak > 0, torch.where(columns > 0, balanced, peak), 1.0)

    return rule


def no_centring(policy: Policy) -> None:
    """Scores as they are."""


def no_input(peak: Tensor, columns: Tensor) -> Tensor:
    """Observations as they are."""
    return torch.ones_like(peak)


HIDDEN: dict[str, HiddenRule] = {
    "hidden: inactive channels by their own weights": sleeping_own,
    "hidden: inactive channels by the smallest scale": sleeping_least,
    "hidden: inactive channels up to the widest column": sleeping_capped,
    "hidden: none": no_hidden,
}
INPUT: dict[str, InputRule] = {
    "input: α = 0.5": powers(0.5),
    "input: α = 0.85": powers(0.85),
    "input: α = 1": powers(1.0),
    "input: none": no_input,
}


def rules() -> Iterator[tuple[str, dict[str, object]]]:
    """Name of each variant and what it replaces in ``equalize``."""
    yield "as released", {}
    for name, hidden in HIDDEN.items():
        yield name, {"hidden_scale": hidden}
    for name, scale in INPUT.items():
        yield name, {"input_scale": scale}
    yield "scores not centred", {"_centre": no_centring}


def mean_return(subject: AgentInEnvironment, worker: Calibration, text: str, episodes: int) -> float:
    """Mean return of the artifact that ``text`` makes."""
    if subject.factory is None:
        raise SystemExit(f"{subject.source}: no environment is known")
    compressed = build_artifact(subject.policy, Recipe.parse(text), worker.materials, worker.seed)
    seeds = EvaluationProtocol(episodes, worker.seed).seeds()
    runtime = OnnxRuntime(compressed.artifact.model)
    rows = measure_returns(runtime.act, subject.factory, seeds, max_steps=subject.max_steps)
    return float(np.mean([row.episode_return for row in rows]))


def main() -> None:
    """Print the table of one agent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agent", metavar="AGENT")
    parser.add_argument("--episodes", type=int, default=10, help="of every variant, on the same seeds")
    parser.add_argument("--seed", type=int, default=0, help="of calibration and of the list of episode seeds")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    subject = agent_in_environment(arguments.agent)
    worker = Calibration(subject, arguments.seed)
    baseline = mean_return(subject, worker, "none", arguments.episodes)
    environment = "" if subject.environment is None else subject.environment.id
    print(f"{subject.policy.origin.algorithm} {environment}: fp32 {baseline:.1f}, {arguments.episodes} episodes\n")
    print(
        f"| equalize with | {' | '.join(f'> {q}' for q in QUANTIZERS)} |\n|---|{'---|' * len(QUANTIZERS)}", flush=True
    )
    for name, replaced in rules():
        with ExitStack() as stack:
            for attribute, rule in replaced.items():
                stack.enter_context(patch.object(equalize, attribute, rule))
            kept = [mean_return(subject, worker, f"equalize > {q}", arguments.episodes) / baseline for q in QUANTIZERS]
        print(f"| {name} | {' | '.join(f'{100 * share:.1f} %' for share in kept)} |", flush=True)


if __name__ == "__main__":
    main()
