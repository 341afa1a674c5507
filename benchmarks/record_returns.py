"""Record the returns of real agents, and of random actions beside them, into one small file.

What ``benchmarks/certification.py`` resamples, so that its simulation is of distributions that occur. Every agent
(a zip or an RL Zoo folder) plays deterministic episodes; random actions play as many. Numbers are kept to six digits.

    python benchmarks/record_returns.py AGENT... --episodes 300 -o benchmarks/data/returns.json
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from policypress.environments.rollout import random_actor, run_episode
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.measurement.evaluation import runtime_of
from policypress.measurement.returns import measure_returns
from policypress.seeding import episode_seeds


def recorded(agent: str, episodes: int, seed: int) -> tuple[str, dict[str, object]]:
    """Name of the agent, and its returns with those of random actions on other seeds."""
    subject = agent_in_environment(agent)
    if subject.factory is None or subject.environment is None:
        raise SystemExit(f"{agent} names no environment")
    act = runtime_of(subject.policy).act
    played = measure_returns(act, subject.factory, episode_seeds(seed, "recorded", episodes))
    env = subject.factory()
    try:
        seeds = episode_seeds(seed, "recorded/random", episodes)
        drawn = [run_episode(env, random_actor(env, s), s, subject.max_steps) for s in seeds]
    finally:
        env.close()
    name = f"{subject.policy.origin.algorithm} {subject.environment.id}"
    return name, {
        "returns": [_short(row.episode_return) for row in played],
        "random": [_short(row.episode_return) for row in drawn],
    }


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def main() -> None:
    """Play and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("agents", nargs="+")
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/data/returns.json"))
    arguments = parser.parse_args()
    count = len(arguments.agents)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        found = pool.map(recorded, arguments.agents, [arguments.episodes] * count, [arguments.seed] * count)
        table = dict(sorted(found))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    entries = ",\n".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in table.items())
    arguments.output.write_text("{\n" + entries + "\n}\n")


if __name__ == "__main__":
    main()
