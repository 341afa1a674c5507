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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from policypress.training_package import TrainingRequest
from policypress_runtime.contract import EnvironmentSpec
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.logs import logger_for
from policypress_train.model import build_model
from policypress_train.qat.config import QatConfig
from policypress_train.spec import TrainingSpec
from policypress_train.trainer import round_of
from policypress_train.vector_envs.making import learning_environments

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
        TrainingRequest(
            case.algorithm, EnvironmentSpec(case.environment), steps=FOREVER, overrides=case.overrides, update="fast"
        )
    ).spec
    forms = {
        "stock": replace(fast, update="stock"),
        "fast": fast,
        "qat actor": replace(fast, qat=QatConfig()),
        "qat all": replace(fast, qat=QatConfig(networks="all")),
    }
    learned = ("fast", "qat actor", "qat all")
    return forms | {f"{name}, native": replace(forms[name], update="native") for name in learned}


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


@dataclass(frozen=True)
class Update:
    """What quantization-aware training costs with one update: median ratio to the same update in fp32, and in words."""

    name: str
    actor: tuple[float, str]
    every: tuple[float, str]

    def missed(self, case: Case) -> Iterator[str]:
        """What is above the case's limits, in words."""
        limits = (("actor", self.actor, case.actor_at_most), ("all", self.every, case.all_at_most))
        for what, (value, _), limit in limits:
            if limit is not None and value > limit:
                where = f"{case.algorithm} {case.environment}, {self.name}"
                yield f"{where}: QAT ({what}) takes {value:.2f} times as long, expected {limit} at most"


def quantized(name: str, taken_s: dict[str, list[float]]) -> Update | None:
    """The cost with the update ``name``; None where the algorithm has none of that name."""
    mark = "" if name == "fast" else f", {name}"
    plain = taken_s.get(f"fast{mark}")
    if plain is None:
        return None
    return Update(name, ratio(taken_s[f"qat actor{mark}"], plain), ratio(taken_s[f"qat all{mark}"], plain))


def row(case: Case, taken_s: dict[str, list[float]]) -> str:
    """The case's row of the table."""
    speeds = [f"{1 / statistics.median(taken_s[form]):.0f}" for form in ("stock", "fast")]
    costs = [quantized(name, taken_s) for name in ("fast", "native")]
    native = [
        ratio(taken_s[form], taken_s[f"{form}, native"])[1] if costs[1] is not None else "–"
        for form in ("fast", "qat actor", "qat all")
    ]
    words = [text for cost in costs for text in (("–", "–") if cost is None else (cost.actor[1], cost.every[1]))]
    cells = [*speeds, ratio(taken_s["stock"], taken_s["fast"])[1], *words[:2], *native, *words[2:]]
    return f"| {case.algorithm} {case.environment} | {' | '.join(cells)} |"


def main() -> int:
    """Measure and print a Markdown table; 1 if a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("algorithms", nargs="*", help="which (default: all)")
    parser.add_argument("--turns", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| case | stock, steps/s | fast, steps/s | fast / stock | fast: time with QAT, actor | all networks", end=" ")
    print("| native / fast | with QAT, actor | all networks | native: time with QAT, actor | all networks |")
    print("|" + "---|" * 11)
    missed = []
    for case in CASES:
        if arguments.algorithms and case.algorithm not in arguments.algorithms:
            continue
        taken_s = measure(case, arguments.turns)
        print(row(case, taken_s), flush=True)
        speed_up, _ = ratio(taken_s["stock"], taken_s["fast"])
        if case.stock_at_least is not None and speed_up < case.stock_at_least:
            name = f"{case.algorithm} {case.environment}"
            missed.append(f"{name}: {speed_up:.2f} times as fast as stock, expected {case.stock_at_least}")
        # The limits are for the fastest update that there is.
        best = quantized("native", taken_s) or quantized("fast", taken_s)
        missed += best.missed(case) if best is not None else ()
    print(*missed, sep="\n", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
