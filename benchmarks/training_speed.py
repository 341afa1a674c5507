"""How fast training is: the fast and the native update against Stable-Baselines3's, and quantization-aware training.

Environment steps per second, learning included, on one thread. The forms of a case take turns in short blocks, so that
whatever else the machine does meets all of them; what is compared is the ratio within a turn, of which the median is
printed with the first and third quartile. CPU seconds count, not the wall clock: on a machine that others use too, the
wall clock measures the others.

    python benchmarks/training_speed.py                   # every case
    python benchmarks/training_speed.py sac td3 --turns 25
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from policypress.contract import EnvironmentSpec
from policypress.training.environments import learning_environments
from policypress.training.logs import logger_for
from policypress.training.model import build_model
from policypress.training.preparing import prepare
from policypress.training.qat.config import QatConfig
from policypress.training.spec import NATIVE_ALGORITHMS, TrainingSpec
from policypress.training.trainer import round_of

FOREVER = 10**8


@dataclass(frozen=True)
class Case:
    """One algorithm in one environment: steps before the clock runs, steps of a block, the most a form may cost."""

    algorithm: str
    environment: str
    warm_up: int
    block: int
    overrides: tuple[tuple[str, object], ...] = ()
    stock_at_least: float | None = None
    actor_at_most: float | None = None
    all_at_most: float | None = None


CASES = (
    Case("sac", "HalfCheetah-v4", 1200, 120, (("learning_starts", 1000),), 1.25, 1.10, 1.25),
    Case("td3", "HalfCheetah-v4", 1200, 120, (("learning_starts", 1000),), 1.25, 1.10, 1.25),
    Case("ddpg", "HalfCheetah-v4", 1200, 120, (("learning_starts", 1000),), None, 1.10, 1.25),
    Case("dqn", "CartPole-v1", 2048, 2048, (), None, 1.35, 1.35),
    Case("dqn", "LunarLander-v3", 1000, 400, (), None, 1.35, 1.35),
    Case("ppo", "HalfCheetah-v4", 512, 1024, (), None, 1.10, 1.10),
    Case("trpo", "HalfCheetah-v4", 2048, 2048, (), None, 1.10, 1.10),
)


class Training:
    """A training that can go on for a block of steps at a time."""

    def __init__(self, spec: TrainingSpec, warm_up: int) -> None:
        self._model: BaseAlgorithm = build_model(spec, learning_environments(spec))
        self._model.set_logger(logger_for(None))
        _, callback = self._model._setup_learn(FOREVER, None, True)
        self._round: Callable[[], None] = round_of(self._model, callback)
        self.seconds_a_step(warm_up)

    def seconds_a_step(self, steps: int) -> float:
        """CPU seconds of an environment step over at least ``steps`` of them, learning included."""
        first = self._model.num_timesteps
        start_s = time.process_time()
        while self._model.num_timesteps < first + steps:
            self._round()
        return (time.process_time() - start_s) / (self._model.num_timesteps - first)


def forms_of(case: Case) -> dict[str, TrainingSpec]:
    """Specs that take turns."""
    fast = prepare(
        case.algorithm, EnvironmentSpec(case.environment), steps=FOREVER, overrides=case.overrides, update="fast"
    ).spec
    forms = {
        "stock": replace(fast, update="stock"),
        "fast": fast,
        "qat actor": replace(fast, qat=QatConfig()),
        "qat all": replace(fast, qat=QatConfig(networks="all")),
    }
    if case.algorithm in NATIVE_ALGORITHMS:
        learned = ("fast", "qat actor", "qat all")
        forms |= {f"{name}, native": replace(forms[name], update="native") for name in learned}
    return forms


def measure(case: Case, turns: int) -> dict[str, list[float]]:
    """CPU seconds a step of every form, one for each turn."""
    running = {name: Training(spec, case.warm_up) for name, spec in forms_of(case).items()}
    taken_s: dict[str, list[float]] = {name: [] for name in running}
    for turn in range(turns):
        names = list(running)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            taken_s[name].append(running[name].seconds_a_step(case.block))
    return taken_s


def ratio(of: list[float], to: list[float]) -> tuple[float, str]:
    """Median of the ratios within a turn, and the same in words with its quartiles."""
    ratios = [left / right for left, right in zip(of, to, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return middle, f"{middle:.2f} ({low:.2f}–{high:.2f})"


def main() -> int:
    """Measure and print a Markdown table; 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("algorithms", nargs="*", help="which (default: all)")
    parser.add_argument("--turns", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| case | stock, steps/s | fast, steps/s | fast / stock | time with QAT, actor | all networks", end=" ")
    print("| native / fast | with QAT, actor | all networks |")
    print("|" + "---|" * 9)
    missed = []
    for case in CASES:
        if arguments.algorithms and case.algorithm not in arguments.algorithms:
            continue
        taken_s = measure(case, arguments.turns)
        speed_up, fast = ratio(taken_s["stock"], taken_s["fast"])
        actor, actor_words = ratio(taken_s["qat actor"], taken_s["fast"])
        every, every_words = ratio(taken_s["qat all"], taken_s["fast"])
        native = [
            ratio(taken_s[form], taken_s[f"{form}, native"])[1] if f"{form}, native" in taken_s else "–"
            for form in ("fast", "qat actor", "qat all")
        ]
        name = f"{case.algorithm} {case.environment}"
        speeds = [f"{1 / statistics.median(taken_s[form]):.0f}" for form in ("stock", "fast")]
        print(
            f"| {name} | {speeds[0]} | {speeds[1]} | {fast} | {actor_words} | {every_words} | {' | '.join(native)} |",
            flush=True,
        )
        if case.stock_at_least is not None and speed_up < case.stock_at_least:
            missed.append(f"{name}: {speed_up:.2f} times as fast as stock, expected {case.stock_at_least}")
        for what, value, limit in (("actor", actor, case.actor_at_most), ("all", every, case.all_at_most)):
            if limit is not None and value > limit:
                missed.append(f"{name}: QAT ({what}) takes {value:.2f} times as long, expected {limit} at most")
    print(*missed, sep="\n", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
