"""Do all six algorithms learn, in fp32 and with quantization-aware training? Trainings in resumable units.

    python benchmarks/learning_floors.py               # goes on with what is missing, then prints the table
    python benchmarks/learning_floors.py --limit 1     # one training more
    python benchmarks/learning_floors.py --table       # only the table
    python benchmarks/learning_floors.py --update native   # in C; the record says so

A unit is one algorithm in one environment with one seed, in fp32 or with quantization-aware training of what acts, by
the published hyperparameters. Its agent is then pressed (recipe ``none`` or ``qat``) and what was written plays 100
episodes under ONNX Runtime: of an agent of quantization-aware training it is the integers that are judged. A unit that
was done is not repeated, one that was interrupted goes on. The first seed of everything comes before the second.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from policypress import seeding
from policypress.compression.pipeline import build_artifact
from policypress.compression.recipe import Recipe
from policypress.engine.tasks.calibration import Calibration
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.measurement.returns import measure_returns
from policypress.training_package import TrainingRequest
from policypress_runtime.atomic_write import write_atomic
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import ExecutionError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.qat.config import QatConfig
from policypress_train.record import Episodes, TrainingRecord
from policypress_train.spec import Update
from policypress_train.trainer import train

RECORDS = Path(__file__).with_name("data") / "learning_floors"
EPISODES = 100
SEEDS = 3
POINTS = 100
RECIPES = {False: "none", True: "qat"}


@dataclass(frozen=True)
class Floor:
    """What an algorithm has to reach in an environment, mean over seeds; ``steps`` None for the published number."""

    algorithm: str
    environment: str
    least_return: float
    steps: int | None = None
    forms: tuple[bool, ...] = (False, True)


@dataclass(frozen=True)
class Unit:
    """One training."""

    algorithm: str
    environment: str
    qat: bool
    seed: int

    @property
    def name(self) -> str:
        """As a file's name."""
        return f"{self.algorithm}-{self.environment}-{'qat' if self.qat else 'fp32'}-s{self.seed}"


FLOORS = (
    *(Floor(algorithm, "CartPole-v1", 475) for algorithm in ("ppo", "dqn", "trpo")),
    *(Floor(algorithm, "Pendulum-v1", -200) for algorithm in ("td3", "ddpg", "sac")),
)
# An hour and more each, so after everything else.
LONG_FLOORS = tuple(Floor(algorithm, "HalfCheetah-v4", 4000, 300_000, (False,)) for algorithm in ("sac", "td3"))


def units(seeds: int) -> Iterator[Unit]:
    """All units, in the order in which they are done."""
    for floors in (FLOORS, LONG_FLOORS):
        for seed in range(seeds):
            for floor in floors:
                for qat in floor.forms:
                    yield Unit(floor.algorithm, floor.environment, qat, seed)


def curve(episodes: Episodes, steps: int) -> list[list[float]]:
    """Steps and mean return of the episodes that ended in each hundredth of a training, where any did."""
    ended, returns = np.array(episodes.step), np.array(episodes.episode_return)
    edges = np.linspace(0, steps, POINTS + 1)
    points = []
    for low, high in pairwise(edges):
        within = (ended > low) & (ended <= high)
        if within.any():
            points.append([int(high), round(float(returns[within].mean()), 2)])
    return points


def final_returns(agent: Path, recipe: str, seed: int) -> tuple[list[float], int]:
    """Returns of what ``recipe`` writes, on seeds that training never saw, and its packed bytes."""
    subject = agent_in_environment(agent)
    if subject.factory is None:
        raise ExecutionError("Episodes need an environment.", got=f"{agent}, whose environment is not known")
    compressed = build_artifact(subject.policy, Recipe.parse(recipe), Calibration(subject, seed).materials, seed)
    seeds = seeding.episode_seeds(seed, seeding.EVALUATION, EPISODES)
    rows = measure_returns(
        OnnxRuntime(compressed.artifact.model).act, subject.factory, seeds, max_steps=subject.max_steps
    )
    return [round(row.episode_return, 2) for row in rows], compressed.record.packed_bytes


def do(unit: Unit, folder: Path, update: Update) -> dict[str, Any]:
    """Train a unit's agent (or go on with it), and judge it."""
    steps = next(
        f.steps for f in FLOORS + LONG_FLOORS if (f.algorithm, f.environment) == (unit.algorithm, unit.environment)
    )
    qat = QatConfig() if unit.qat else None
    environment = EnvironmentSpec(unit.environment)
    prepared = prepare(
        TrainingRequest(unit.algorithm, environment, steps=steps, seed=unit.seed, qat=qat, update=update)
    )
    agent = folder / f"{unit.name}.zip"
    record = train(prepared.spec, agent, source=prepared.source)
    returns, packed_bytes = final_returns(agent, RECIPES[unit.qat], unit.seed)
    return summary(unit, update, record, returns, packed_bytes)


def summary(
    unit: Unit, update: Update, record: TrainingRecord, returns: list[float], packed_bytes: int
) -> dict[str, Any]:
    """What is kept of a unit: a few kB."""
    return {
        "version": 1,
        **asdict(unit),
        "source": record.source,
        "update": update,
        "kernels": record.kernels,
        "steps": record.steps,
        "cpu_s": record.cpu_s,
        "wall_s": record.wall_s,
        "recipe": RECIPES[unit.qat],
        "packed_bytes": packed_bytes,
        "returns": returns,
        "learning": curve(record.episodes, record.steps),
        "evaluations": [[e.step, round(e.mean_return, 2)] for e in record.evaluations],
        "versions": dict(record.versions),
    }


def table(found: list[dict[str, Any]]) -> str:
    """One row per algorithm, environment and form: the mean of the seeds once all are there, and each."""
    lines = [
        "| algorithm | environment | training | floor | mean of seeds | each seed | |",
        "|---|---|---|---|---|---|---|",
    ]
    for floor in FLOORS + LONG_FLOORS:
        for qat in floor.forms:
            key = (floor.algorithm, floor.environment, qat)
            means = [
                float(np.mean(one["returns"]))
                for one in found
                if (one["algorithm"], one["environment"], one["qat"]) == key
            ]
            if not means:
                continue
            mean = float(np.mean(means))
            verdict = "reached" if mean >= floor.least_return else "missed"
            if len(means) < SEEDS:
                verdict = f"{len(means)} of {SEEDS} seeds"
            stated = "–" if len(means) < SEEDS else f"{mean:.1f}"
            form = "QAT, int8" if qat else "fp32"
            each = ", ".join(f"{value:.0f}" for value in means)
            lines.append(
                f"| {floor.algorithm} | {floor.environment} | {form} | ≥ {floor.least_return:.0f} | {stated} "
                f"| {each} | {verdict} |"
            )
    return "\n".join(lines)


def done(records: Path, seeds: int) -> list[dict[str, Any]]:
    """The finished units."""
    paths = [records / f"{unit.name}.json" for unit in units(seeds)]
    return [json.loads(path.read_text()) for path in paths if path.is_file()]


def main() -> None:
    """Do what is missing, and print what is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build/learning_floors"), help="where agents are trained")
    parser.add_argument("--records", type=Path, default=RECORDS, help="where the record of each unit goes")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--limit", type=int, help="units to do now; all that are missing by default")
    parser.add_argument("--update", choices=("fast", "native"), default="fast")
    parser.add_argument("--table", action="store_true", help="only print what is known")
    given = parser.parse_args()
    torch.set_num_threads(1)
    missing = [unit for unit in units(given.seeds) if not (given.records / f"{unit.name}.json").is_file()]
    for unit in [] if given.table else missing[: given.limit]:
        given.folder.mkdir(parents=True, exist_ok=True)
        given.records.mkdir(parents=True, exist_ok=True)
        found = do(unit, given.folder, given.update)
        write_atomic(given.records / f"{unit.name}.json", (json.dumps(found) + "\n").encode())
        print(f"{unit.name}: {np.mean(found['returns']):.1f} after {found['cpu_s']:.0f} CPU s", flush=True)
    print(table(done(given.records, given.seeds)))


if __name__ == "__main__":
    main()
