"""What a study will take: time and disk of the cells that are still to be done, from what the store knows already.

Where the store has no measurement yet, the rates below stand in: they are of one thread of a server core, rounded, and
are replaced by this machine's own as soon as its first cells are done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from policypress.engine.cells.cell import Cell
from policypress.engine.store.reader import StoreReader
from policypress.study.agents import PlannedAgent
from policypress.study.plan import StudyPlan
from policypress_runtime.runtimes.protocol import NATIVE

# Environment steps per second while learning, with the published hyperparameters: the fast update, and the native one.
LEARNING_STEPS_PER_S = {"dqn": 800.0, "ddpg": 100.0, "td3": 100.0, "sac": 80.0, "ppo": 800.0, "trpo": 1500.0}
NATIVE_STEPS_PER_S = {"dqn": 2400.0, "ddpg": 240.0, "td3": 240.0, "sac": 270.0, "ppo": 2400.0, "trpo": 3000.0}
ACTING_STEPS_PER_S = 8000.0
EPISODE_STEPS = 1000
FAST = "fast"
BUILD_S = 2.0
# A student that learns from the policy.
LEARN_S = 90.0
ROLLOUT_S = 3.0
# Under the native runtime the artifact is compiled first.
COST_S, NATIVE_COST_S = 4.0, 6.0
AGENT_BYTES = 2_000_000
ARTIFACT_BYTES = 400_000
COST_BYTES = 80_000


@dataclass(frozen=True)
class Estimate:
    """What is left of a study.

    ``cpu_s`` is for one worker; ``costs_s`` is spent alone on the machine; ``disk_bytes`` is what will be added.
    """

    cells: int
    training_s: float
    cpu_s: float
    costs_s: float
    disk_bytes: int

    def wall_s(self, jobs: int) -> float:
        """Seconds with ``jobs`` workers that are never idle."""
        return self.cpu_s / max(jobs, 1) + self.costs_s


def estimate(plan: StudyPlan, left: Iterable[Cell], store: StoreReader | None) -> Estimate:
    """What the cells ``left`` of ``plan`` will take.

    Args:
        plan: the study.
        left: cells that are not done.
        store: what is known so far, or None before the first run.
    """
    known = _Known(store)
    cells = list(left)
    training_s = sum(
        (known.training_s(plan.agents[cell.agent_sha256 or ""]) for cell in cells if cell.kind == "agent"), 0.0
    )
    built = [cell for cell in cells if cell.kind in ("baseline", "variant")]
    own = [cell for cell in cells if cell.kind == "agent"]
    measured = [cell for cell in cells if cell.kind == "cost"]
    acting_s = sum(cell.protocol.episodes * known.episode_s(cell) for cell in cells)
    return Estimate(
        cells=len(cells),
        training_s=training_s,
        cpu_s=training_s + acting_s + sum(map(known.build_s, built)) + len(own) * ROLLOUT_S,
        costs_s=sum((NATIVE_COST_S if cell.protocol.runtime == NATIVE else COST_S for cell in measured), 0.0),
        disk_bytes=len(own) * AGENT_BYTES + len(built) * ARTIFACT_BYTES + len(measured) * COST_BYTES,
    )


class _Known:
    """Times that the store has measured, by what they are of."""

    def __init__(self, store: StoreReader | None) -> None:
        self._rates: dict[tuple[str, str, str], list[float]] = {}
        self._steps_per_episode: dict[tuple[str, str], list[float]] = {}
        self._episodes: dict[str, list[float]] = {}
        self._builds: dict[str, float] = {}
        if store is not None:
            self._read(store)

    def _read(self, store: StoreReader) -> None:
        for record in store.trainings().values():
            spec, wall_s = record["spec"], float(record["wall_s"])
            if wall_s > 0:
                key = (spec["algorithm"], spec["environment"]["id"], spec.get("update", FAST))
                self._rates.setdefault(key, []).append(record["steps"] / wall_s)
            if spec.get("episodes") is not None:
                per_episode = record["steps"] / spec["episodes"]
                self._steps_per_episode.setdefault((spec["algorithm"], spec["environment"]["id"]), []).append(
                    per_episode
                )
        self._episodes = {name: [mean_s] for name, mean_s in store.mean_episode_s().items()}
        self._builds = store.mean_build_s()

    def training_s(self, agent: PlannedAgent) -> float:
        if agent.training is None or agent.kept:
            return 0.0
        algorithm, update = str(agent.training["algorithm"]), str(agent.training.get("update", FAST))
        measured = self._rates.get((algorithm, agent.environment.id, update)) or [
            rate for (name, _, by), rates in self._rates.items() if (name, by) == (algorithm, update) for rate in rates
        ]
        usual = LEARNING_STEPS_PER_S if update in (FAST, "stock") else NATIVE_STEPS_PER_S
        rate = fmean(measured) if measured else usual.get(algorithm, 100.0)
        return self._steps(agent.training, agent.environment.id) / rate

    def _steps(self, training: Mapping[str, Any], environment: str) -> float:
        """Steps of a training; where its budget is in episodes, what such episodes took, or the schedules' length."""
        measured = self._steps_per_episode.get((str(training["algorithm"]), environment))
        if training.get("episodes") is None or not measured:
            return float(training["steps"])
        return float(training["episodes"]) * fmean(measured)

    def build_s(self, cell: Cell) -> float:
        learns = "distill" in cell.recipe
        quick = [mean_s for recipe, mean_s in self._builds.items() if "distill" not in recipe]
        return self._builds.get(cell.recipe) or (LEARN_S if learns else fmean(quick) if quick else BUILD_S)

    def episode_s(self, cell: Cell) -> float:
        name = "" if cell.environment is None else cell.environment.id
        measured = self._episodes.get(name)
        return fmean(measured) if measured else (cell.protocol.max_steps or EPISODE_STEPS) / ACTING_STEPS_PER_S
