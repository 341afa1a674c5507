"""How the cells of a whole study become tasks: agents are prepared once, then pressed like a single one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from policypress.engine import agent_tasks, build_tasks
from policypress.engine.agent_factory import PressWorker
from policypress.engine.artifact_files import BuiltArtifact
from policypress.engine.cell import Cell
from policypress.engine.prepared_agent import AGENT_FILE, CALIBRATION_FILE, place_of, unpack
from policypress.engine.tasks import Task
from policypress.environment.making import SpecFactory
from policypress.errors import ExecutionError
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.study.agents import PlannedAgent
from policypress.study.kept_agents import files_of

WORKPLACE = "training"
_AGENTS_AT_HAND = 3


class StudyWorker:
    """Makes the tasks of a study's cells; see :class:`~policypress.engine.cell_worker.CellWorker`.

    Args:
        agents: by identity.
        folder: of the study's store.
        seed: of everything random in pressing.
    """

    def __init__(self, agents: Mapping[str, PlannedAgent], folder: Path, seed: int) -> None:
        self._agents = agents
        self._folder = folder
        self._seed = seed
        self._at_hand: OrderedDict[str, PressWorker] = OrderedDict()

    def build(self, cell: Cell) -> Task | None:
        """Prepare an agent, or press a recipe; random actions need nothing built."""
        if cell.kind == "random":
            return None
        agent = self._agent(cell)
        if cell.kind != "agent":
            return self._press(agent).build(cell)
        payload = agent_tasks.AgentPayload(
            seed=self._seed,
            training=agent.training,
            origin=agent.origin,
            workplace=str(self._folder / WORKPLACE / agent.identity[:16]),
            source=agent.source,
            environment=agent.stated,
            overrides=agent.overrides,
            files=files_of(Path(agent.kept)) if agent.kept else {},
        )
        # The record of a training tells the memory of its process.
        trains = agent.training is not None and not agent.kept
        return Task(f"{cell.key}/prepare", agent_tasks.prepare, payload, fresh=trains)

    def episodes(self, cell: Cell, artifact: BuiltArtifact | None, seeds: tuple[int, ...]) -> Task:
        """Play ``seeds`` with the cell's artifact, or with random actions."""
        if cell.kind != "random":
            return self._press(self._agent(cell)).episodes(cell, artifact, seeds)
        if cell.environment is None:
            raise ExecutionError("Random actions need an environment.", got=cell.key)
        payload = build_tasks.EpisodesPayload(None, SpecFactory(cell.environment), seeds, cell.protocol.max_steps)
        return Task(f"{cell.key}/episodes/{seeds[0]}", build_tasks.play, payload)

    def _agent(self, cell: Cell) -> PlannedAgent:
        agent = self._agents.get(cell.agent_sha256 or "")
        if agent is None:
            raise ExecutionError("A cell's agent is not of this study.", got=str(cell.agent_sha256))
        return agent

    def _press(self, agent: PlannedAgent) -> PressWorker:
        """The worker of one agent; those of the last few agents stay in memory."""
        worker = self._at_hand.pop(agent.identity, None)
        if worker is None:
            place = place_of(self._folder, agent.identity)
            source = str(place / AGENT_FILE) if agent.training is not None else agent.source
            subject = agent_in_environment(source, env=agent.stated, overrides=agent.overrides)
            worker = PressWorker(subject, self._seed, prepared=unpack(place / CALIBRATION_FILE))
        self._at_hand[agent.identity] = worker
        while len(self._at_hand) > _AGENTS_AT_HAND:
            self._at_hand.popitem(last=False)
        return worker
