"""How a cell becomes tasks: the one thing that the scheduler does not know itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from policypress.compression.recipe import Recipe
from policypress.engine.artifact_files import BuiltArtifact
from policypress.engine.cells.cell import Cell, canonical_json
from policypress.engine.tasks import builds as build_tasks
from policypress.engine.tasks import costs as cost_tasks
from policypress.engine.tasks.calibration import Calibration
from policypress.engine.tasks.costs import CostRequest, CostSubject
from policypress.engine.tasks.task import Task
from policypress.environments.wrappers.allowed import WrappedFactory
from policypress.measurement.agent_in_environment import AgentInEnvironment, Factory
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import ExecutionError
from policypress_runtime.runtimes.protocol import NATIVE, ONNXRUNTIME

EPISODES_PER_TASK = 5
"""Fixed, so that the same episodes go together whatever the number of workers."""


@runtime_checkable
class CellTasks(Protocol):
    """Makes the tasks of cells; lives with the scheduler, only its tasks travel.

    Tasks are independent of one another and of the process they run in: one thread, no shared disk.
    """

    def build(self, cell: Cell) -> Task | None:
        """The task that returns the cell's :class:`BuiltArtifact`; None if nothing is to be built."""
        ...

    def build_key(self, cell: Cell) -> str | None:
        """What decides the artifact of ``cell``: cells with one build key share it. None: it is the cell's alone."""
        ...

    def prove(self, cell: Cell, artifact: BuiltArtifact) -> Task | None:
        """The task that returns another cell's ``artifact`` as that of ``cell``; None where it is so as it stands."""
        ...

    def episodes(self, cell: Cell, artifact: BuiltArtifact | None, seeds: tuple[int, ...]) -> Task:
        """The task that returns one :class:`~policypress.records.EpisodeRecord` per seed, in their order."""
        ...

    def costs(self, subjects: Mapping[Cell, CostSubject], request: CostRequest, run: str) -> Task:
        """The task that returns the :class:`MeasuredCosts` of cost cells of one agent, measured together."""
        ...


@runtime_checkable
class Agents(Protocol):
    """Where a task factory finds the agents of its cells."""

    def calibration(self, cell: Cell) -> Calibration:
        """The agent of ``cell`` and the observations that its recipes are calibrated on."""
        ...

    def home(self, cell: Cell) -> EnvironmentSpec | None:
        """The environment of those observations; None where the agent is not known, or there is none."""
        ...

    def factory(self, cell: Cell) -> Factory:
        """What makes the environment of a cell of random actions."""
        ...

    def prepare(self, cell: Cell) -> Task:
        """The task that trains an agent, or plays its rollouts."""
        ...


class TaskFactory:
    """Makes the tasks of all cells of searches and studies; see :class:`CellTasks`."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    def build(self, cell: Cell) -> Task | None:
        """Prepare an agent, or compress it by the cell's recipe; random actions need nothing built."""
        if cell.kind == "random":
            return None
        if cell.kind == "agent":
            return self._agents.prepare(cell)
        calibration = self._agents.calibration(cell)
        recipe = Recipe.from_json(cell.recipe_json)
        materials = calibration.materials
        if not any(step.learns for step in recipe.steps):
            # Recorded images may be gigabytes: they travel only to where they are learned from.
            materials = replace(materials, rollouts=None, recorded=None)
        payload = build_tasks.BuildPayload(
            calibration.subject.policy, recipe, materials, calibration.seed, cell.protocol.runtime
        )
        return Task(f"{cell.key}/build", build_tasks.build, payload)

    def build_key(self, cell: Cell) -> str | None:
        """The agent, the recipe and what it is calibrated on: not what plays the artifact, nor where."""
        if cell.kind not in ("baseline", "variant"):
            return None
        home = self._agents.home(cell)
        if home is None and cell.environment is not None:
            return None
        calibrated = None if home is None else {**home.to_json(), "trained_id": None}
        decides = (cell.agent_sha256, cell.recipe_hash, dict(cell.method_versions), dict(cell.inputs), calibrated)
        return canonical_json(decides)

    def prove(self, cell: Cell, artifact: BuiltArtifact) -> Task | None:
        """Its native form has to be proved where that shall act, and did not in the cell that it was built for."""
        if cell.protocol.runtime != NATIVE or artifact.record.runtime == NATIVE:
            return None
        met = self._agents.calibration(cell).materials
        payload = build_tasks.ProvePayload(artifact, met.parity, met.episodes)
        return Task(f"{cell.key}/prove", build_tasks.prove, payload)

    def episodes(self, cell: Cell, artifact: BuiltArtifact | None, seeds: tuple[int, ...]) -> Task:
        """Play ``seeds`` with the cell's artifact, or with random actions."""
        if artifact is None:
            factory, model = self._agents.factory(cell), None
        else:
            factory = _inside(self._agents.calibration(cell).subject, cell)
            model = artifact.files[artifact.record.path]
        # Native only where the build task has proved it.
        native = artifact is not None and NATIVE == cell.protocol.runtime == artifact.record.runtime
        payload = build_tasks.EpisodesPayload(
            model,
            factory,
            seeds,
            cell.protocol.max_steps,
            NATIVE if native else ONNXRUNTIME,
            cell.protocol.masked,
            cell.protocol.fall_key,
        )
        return Task(f"{cell.key}/episodes/{seeds[0]}", build_tasks.play, payload)

    def costs(self, subjects: Mapping[Cell, CostSubject], request: CostRequest, run: str) -> Task:
        """Measure them alone, in a process that has done nothing else."""
        first = next(iter(subjects))
        parity = self._agents.calibration(first).materials.parity
        payload = cost_tasks.CostPayload(tuple(subjects.values()), parity, request, run)
        return Task(f"{first.agent_sha256}/costs", cost_tasks.measure, payload, alone=True, fresh=True)


def _inside(subject: AgentInEnvironment, cell: Cell) -> Factory:
    """What makes the agent's environment, inside the wrappers that the cell's has beyond it."""
    if subject.factory is None:
        raise ExecutionError("Episodes need an environment.", got=f"the agent {subject.source} without one")
    own, wanted = subject.environment, cell.environment
    extra = () if own is None or wanted is None else wanted.wrappers[len(own.wrappers) :]
    return WrappedFactory(subject.factory, extra) if extra else subject.factory


@dataclass(frozen=True)
class OneAgent:
    """The agent of a ``compress``, with its observations, and the identity that its cells have; see :class:`Agents`."""

    only: Calibration
    identity: str

    def calibration(self, cell: Cell) -> Calibration:
        """The one there is."""
        return self.only

    def home(self, cell: Cell) -> EnvironmentSpec | None:
        """The agent's environment, where the cell is of this agent and plays there, inside more wrappers or not."""
        own, wanted = self.only.subject.environment, cell.environment
        if cell.agent_sha256 != self.identity or own is None or wanted is None:
            return None
        inner = replace(wanted, wrappers=wanted.wrappers[: len(own.wrappers)], trained_id=own.trained_id)
        # By their JSON: an environment that the user named has a type of its own, which no store gives back.
        return own if inner.to_json() == own.to_json() else None

    def factory(self, cell: Cell) -> Factory:
        """What makes the agent's environment."""
        return _inside(self.only.subject, cell)

    def prepare(self, cell: Cell) -> Task:
        """It is given, and has no cell of its own."""
        raise ExecutionError("An agent that is given is not prepared.", got=cell.key)
