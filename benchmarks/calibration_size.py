"""How many observations a step should see: returns of one recipe calibrated on few and on many, twice each.

Prints a Markdown table with a line for each agent: the raw return ratio, on the same seeds, with each number of
observations and each seed of the rollouts that they come from, and the 95 % half width. Differences between seeds say
how much of a difference between numbers is chance.

    python benchmarks/calibration_size.py AGENT... --recipe "prune(activation, 0.5) > refit" --episodes 30
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from policypress.compression.recipe import Recipe
from policypress.compression.step import Context, Stage
from policypress.environments.observations import visited
from policypress.measurement.agent_in_environment import AgentInEnvironment, agent_in_environment
from policypress.measurement.evaluation import runtime_of
from policypress.measurement.returns import measure_returns
from policypress.policy.policy import Policy
from policypress.seeding import CALIBRATION, episode_seeds
from policypress_runtime.errors import StudyInputError

COUNTS = (2048, 8192)
SEEDS = (0, 1)
Z_95 = 1.96


def returns_of(subject: AgentInEnvironment, policy: Policy, episodes: int) -> npt.NDArray[np.float64]:
    """Returns of ``policy`` on the evaluation's seeds."""
    if subject.factory is None:
        raise StudyInputError("There is no environment to play in.", got=subject.source)
    seeds = episode_seeds(0, "evaluation", episodes)
    rows = measure_returns(runtime_of(policy).act, subject.factory, seeds, max_steps=subject.max_steps)
    return np.array([row.episode_return for row in rows])


def pressed(subject: AgentInEnvironment, recipe: Recipe, count: int, seed: int) -> Policy:
    """The policy of ``recipe``, calibrated on ``count`` observations of rollouts of ``seed``."""
    if subject.factory is None:
        raise StudyInputError("There is no environment to calibrate in.", got=subject.source)
    act = runtime_of(subject.policy).act
    seen = visited(subject.factory, act, count=count, seed=seed, purpose=CALIBRATION, max_steps=subject.max_steps)
    policy, context = subject.policy, Context(seen, seed, subject.policy)
    for step in recipe.steps:
        if step.stage == Stage.LOWERING:
            raise StudyInputError("This compares what happens before lowering.", got=step.name)
        policy = step.apply(policy, context)
    return policy


def ratio(own: npt.NDArray[np.float64], base: npt.NDArray[np.float64]) -> str:
    """Mean return as a share of the baseline's, with its 95 % half width, and how many episodes fell below half.

    >>> ratio(np.array([90.0, 100.0]), np.array([100.0, 100.0]))
    '95.0 ± 9.8 %'
    """
    share = own.mean() / base.mean()
    relative = [values.var(ddof=1) / len(values) / values.mean() ** 2 for values in (own, base)]
    crashes = int((own < base.mean() / 2).sum()) if base.mean() > 0 else 0
    said = f"{100 * share:.1f} ± {100 * Z_95 * abs(share) * sum(relative) ** 0.5:.1f} %"
    return f"{said}, {crashes} failed" if crashes else said


def line(agent: str, recipe: Recipe, episodes: int) -> Iterator[str]:
    """The cells of one agent."""
    subject = agent_in_environment(agent)
    base = returns_of(subject, subject.policy, episodes)
    yield Path(agent).name
    for count in COUNTS:
        for seed in SEEDS:
            yield ratio(returns_of(subject, pressed(subject, recipe, count, seed), episodes), base)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agents", metavar="AGENT", nargs="+", help="zip or RL Zoo folder")
    parser.add_argument("--recipe", default="prune(activation, 0.5) > refit")
    parser.add_argument("--episodes", type=int, default=30)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    recipe = Recipe.parse(chosen.recipe)
    headings = [f"{count} observations, seed {seed}" for count in COUNTS for seed in SEEDS]
    print(f"| agent | {' | '.join(headings)} |")
    print(f"|---|{'---|' * len(headings)}")
    for agent in chosen.agents:
        print(f"| {' | '.join(line(agent, recipe, chosen.episodes))} |", flush=True)


if __name__ == "__main__":
    main()
