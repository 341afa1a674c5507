"""Lottery tickets in deep RL: iterative magnitude pruning and rewinding against random tickets, in resumable units.

    python benchmarks/lottery.py dqn CartPole-v1 --folder lottery/dqn-CartPole-v1
    python benchmarks/lottery.py ppo LunarLander-v3 --folder lottery/ppo-LunarLander-v3 --limit 10

    python benchmarks/lottery.py --table benchmarks/data/lottery/dqn-CartPole-v1.json

does what is missing (at most ``--limit`` trainings), writes ``results.json`` into the folder, and prints a Markdown
table: the mean return of each sparsity and how much better tickets are than random ones, with bootstrap intervals over
training seeds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from policypress import seeding
from policypress_runtime.atomic_write import write_atomic
from policypress_train.lottery import DENSE, RANDOM, TICKET, LotteryPlan, results, run

RESAMPLES = 10_000
LEAST_SEEDS = 3


def interval(returns_by_seed: list[list[float]]) -> str:
    """Mean over seeds with the 95 % interval of a bootstrap that draws seeds, then episodes."""
    rng = seeding.generator(0, "lottery interval")
    means = np.empty(RESAMPLES)
    for index in range(RESAMPLES):
        drawn = rng.integers(len(returns_by_seed), size=len(returns_by_seed))
        means[index] = np.mean(
            [np.mean(rng.choice(returns_by_seed[seed], len(returns_by_seed[seed]))) for seed in drawn]
        )
    low, high = np.quantile(means, [0.025, 0.975])
    mean = np.mean([np.mean(values) for values in returns_by_seed])
    return f"{mean:.1f} ({low:.1f} … {high:.1f}; {len(returns_by_seed)} seeds)"


def difference(found: dict[str, Any], rounds: Collection[int]) -> str:
    """By how much tickets are better than random ones: the mean over seeds, with an interval that draws them."""
    means = {(unit["seed"], unit["round"], unit["kind"]): np.mean(unit["returns"]) for unit in found["units"]}
    pairs: dict[int, list[float]] = {}
    for seed, round_, kind in means:
        other = means.get((seed, round_, RANDOM))
        if kind == TICKET and round_ in rounds and other is not None:
            pairs.setdefault(seed, []).append(float(means[seed, round_, TICKET] - other))
    if len(pairs) < LEAST_SEEDS:
        return "–"
    each = np.array([np.mean(values) for values in pairs.values()])
    drawn = seeding.generator(0, "lottery difference").integers(len(each), size=(RESAMPLES, len(each)))
    low, high = np.quantile(each[drawn].mean(axis=1), [0.025, 0.975])
    return f"{each.mean():+.1f} ({low:+.1f} … {high:+.1f})"


def table(found: dict[str, Any]) -> str:
    """One row per sparsity; a cell with one seed alone has no interval, and is left out."""
    cells: dict[tuple[int, str], list[list[float]]] = {}
    sparsity: dict[int, float] = {}
    for unit in found["units"]:
        cells.setdefault((unit["round"], unit["kind"]), []).append(unit["returns"])
        sparsity[unit["round"]] = unit["sparsity"]
    lines = ["| sparsity | ticket | random ticket | difference |", "|---|---|---|---|"]
    for round_ in sorted(sparsity):
        kinds = (DENSE, DENSE) if round_ == 0 else (TICKET, RANDOM)
        shown = [interval(cell) if len(cell := cells.get((round_, kind), [])) > 1 else "–" for kind in kinds]
        last = ("(dense)", "") if round_ == 0 else (shown[1], difference(found, {round_}))
        lines.append(f"| {sparsity[round_]:.1%} | {shown[0]} | {' | '.join(last)} |")
    lines.append(f"| all | | | {difference(found, sparsity.keys() - {0})} |")
    return "\n".join(lines)


def main() -> None:
    """Do what is missing, and print what is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("algorithm", nargs="?")
    parser.add_argument("environment", nargs="?")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--table", type=Path, metavar="RESULTS", help="only print the table of a results.json")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--rewind", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--update", choices=("fast", "native", "stock"), default="fast")
    parser.add_argument("--limit", type=int, help="trainings to do now; all that are missing by default")
    given = parser.parse_args()
    if given.table is not None:
        print(table(json.loads(given.table.read_text())))
        return
    if given.environment is None or given.folder is None:
        parser.error("give ALGORITHM ENVIRONMENT --folder DIR, or --table RESULTS")
    torch.set_num_threads(1)
    plan = LotteryPlan(
        given.algorithm,
        given.environment,
        given.steps,
        tuple(range(given.seeds)),
        given.rounds,
        given.share,
        given.rewind,
        given.episodes,
        given.update,
    )
    left = run(plan, given.folder, limit=given.limit)
    found = results(plan, given.folder)
    write_atomic(given.folder / "results.json", json.dumps(found).encode())
    print(table(found))
    if left:
        print(f"\n{left} trainings are missing; the same command goes on.")


if __name__ == "__main__":
    main()
