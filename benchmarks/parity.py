"""How far apart right evaluations of one policy are: what the tolerances of the parity gate rest on.

For each agent, a Markdown row of

- fp32: the policy, evaluated in float64, against its ONNX file: largest |Δ| in units of 1e-5 · (1 + |a|), without and
  with the bound of float32 rounding, and
- a quantizing recipe: the share of observations with a rounding tie, and of components within 1e-4 of the range
  (policy in float64 against its file) on the other observations and on those; the largest |Δ| without a tie, as
  a share of the range; and the largest |Δ| of all in units of the one-step bound.

    python benchmarks/parity.py examples/agents/*.zip
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from policypress.compression.recipe import Recipe
from policypress.compression.step import Context
from policypress.engine.tasks.calibration import Calibration
from policypress.environments.batches import joined
from policypress.export.parity import FLOAT_TOLERANCE, QUANTIZED_TOLERANCE_OF_RANGE, to_tensors
from policypress.export.tolerance import step_bound, tied_rows
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.measurement.evaluation import runtime_of
from policypress.policy.policy import ACTION, SCORES, Policy
from policypress.policy.rounding import reaches, rounding_bound
from policypress_runtime.contract import Box

Array = npt.NDArray[Any]

HEADER = """\
| agent | fp32 error | with rounding | tied observations | agree, no tie | agree, tie | worst, no tie | worst / bound |
|---|---|---|---|---|---|---|---|"""


@dataclass(frozen=True)
class FloatAgreement:
    """Largest fp32 difference in units of the tolerance, without and with the bound of rounding."""

    of_tolerance: float
    of_tolerance_and_rounding: float


@dataclass(frozen=True)
class QuantizedAgreement:
    """See the module's text; shares are None where there is no such observation."""

    tied: float
    untied_agreement: float | None
    tied_agreement: float | None
    worst_untied_of_range: float
    worst_of_bound: float


def run_file(policy: Policy, observations: Any) -> Array:
    """What decides (scores or actions), by the policy's ONNX file under ONNX Runtime."""
    outputs = runtime_of(policy).run_batch(observations)
    return outputs.get(SCORES, outputs[ACTION])


def float_agreement(policy: Policy, observations: Any) -> FloatAgreement:
    """The fp32 policy against its file."""
    tensors = to_tensors(observations)
    with torch.no_grad():
        want = policy.clone().double().scores(tensors).numpy()
    error = np.abs(run_file(policy, observations) - want)
    tolerance = FLOAT_TOLERANCE * (1 + np.abs(want))
    bound = rounding_bound(policy, tensors).numpy()
    return FloatAgreement(float((error / tolerance).max()), float((error / (tolerance + bound)).max()))


def quantized_agreement(policy: Policy, observations: Any) -> QuantizedAgreement:
    """The fake-quantized policy, evaluated in float64, against its file."""
    exact = policy.clone().double()
    with torch.no_grad():
        values = exact.run(to_tensors(observations))
    want = values[policy.scores_node or policy.nodes[-1].name].numpy()
    got = run_file(policy, observations)
    error = np.abs(got - want)
    of_range = error / value_range(policy, got)
    tied = tied_rows(exact, values, reaches(exact, to_tensors(observations)))
    within = of_range <= QUANTIZED_TOLERANCE_OF_RANGE
    return QuantizedAgreement(
        float(tied.mean()),
        float(within[~tied].mean()) if not tied.all() else None,
        float(within[tied].mean()) if tied.any() else None,
        float(of_range[~tied].max(initial=0.0)),
        float((error / (step_bound(exact, values) + FLOAT_TOLERANCE * (1 + np.abs(want)))).max()),
    )


def value_range(policy: Policy, values: Array) -> Array:
    """Range of the action where it is bounded; of what was seen for scores and unbounded actions."""
    seen = np.maximum(values.max(0) - values.min(0), 1e-6)
    if not isinstance(policy.action_space, Box):
        return np.full_like(seen, seen.max())
    low, high = policy.action_space.bounds()
    return np.where(np.isfinite(high - low), high - low, seen)


def percent(share: float | None) -> str:
    """Two decimals, or a dash."""
    return "–" if share is None else f"{100 * share:.2f} %"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agents", nargs="+", metavar="AGENT")
    parser.add_argument("--recipe", default="equalize > int8")
    parser.add_argument("--seed", type=int, default=0, help="of the rollouts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = Recipe.parse(arguments.recipe)
    print(HEADER)
    for agent in arguments.agents:
        subject = agent_in_environment(agent)
        materials = Calibration(subject, arguments.seed).materials
        exact = float_agreement(subject.policy, materials.parity)
        policy = subject.policy
        for step in recipe.steps:
            policy = step.apply(policy, Context(materials.calibration, arguments.seed))
        rounded = quantized_agreement(policy, joined(materials.parity, materials.held_out))
        environment = "" if subject.environment is None else subject.environment.id
        cells = (
            f"{policy.origin.algorithm} {environment}",
            f"{exact.of_tolerance:.2f}",
            f"{exact.of_tolerance_and_rounding:.2f}",
            percent(rounded.tied),
            percent(rounded.untied_agreement),
            percent(rounded.tied_agreement),
            f"{rounded.worst_untied_of_range:.0e}",
            f"{rounded.worst_of_bound:.2f}",
        )
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
