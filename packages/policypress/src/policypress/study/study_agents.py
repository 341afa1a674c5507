"""The agents of a study, as its tasks need them: prepared once, then compressed like a single one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from policypress.engine.cells.cell import Cell
from policypress.engine.tasks import agents as agent_tasks
from policypress.engine.tasks.calibration import Calibration
from policypress.engine.tasks.prepared_agent import AGENT_FILE, CALIBRATION_FILE, place_of, unpack
from policypress.engine.tasks.task import Task
from policypress.environments.making import SpecFactory
from policypress.measurement.agent_in_environment import Factory, agent_in_environment
from policypress.study.agents import PlannedAgent
from policypress.study.kept_agents import files_of
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import ExecutionError

WORKPLACE = "training"
_AGENTS_AT_HAND = 3


class StudyAgents:
    """See :class:`~policypress.engine.tasks.factory.Agents`.

    Args:
        agents: by identity.
        folder: of the study's store.
        seed: of everything random.
    """

    def __init__(self, agents: Mapping[str, PlannedAgent], folder: Path, seed: int) -> None:
        self._agents = agents
        self._folder = folder
        self._seed = seed
        self._at_hand: OrderedDict[str, Calibration] = OrderedDict()

    def home(self, cell: Cell) -> EnvironmentSpec | None:
        """The agent's environment; None where it is not of this study."""
        agent = self._agents.get(cell.agent_sha256 or "")
        return None if agent is None else agent.environment

    def factory(self, cell: Cell) -> Factory:
        """What makes the cell's environment."""
        if cell.environment is None:
            raise ExecutionError("Random actions need an environment.", got=cell.key)
        return SpecFactory(cell.environment)

    def prepare(self, cell: Cell) -> Task:
        """Train the agent or take it as it is, and play its rollouts."""
        agent = self._agent(cell)
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

    def _agent(self, cell: Cell) -> PlannedAgent:
        agent = self._agents.get(cell.agent_sha256 or "")
        if agent is None:
            raise ExecutionError("A cell's agent does not belong to this study.", got=str(cell.agent_sha256))
        return agent

    def calibration(self, cell: Cell) -> Calibration:
        """The agent with its observations; those of the last few agents stay in memory."""
        agent = self._agent(cell)
        known = self._at_hand.pop(agent.identity, None)
        if known is None:
            place = place_of(self._folder, agent.identity)
            source = str(place / AGENT_FILE) if agent.training is not None else agent.source
            subject = agent_in_environment(source, env=agent.stated, overrides=agent.overrides)
            known = Calibration(subject, self._seed, prepared=unpack(place / CALIBRATION_FILE))
        self._at_hand[agent.identity] = known
        while len(self._at_hand) > _AGENTS_AT_HAND:
            self._at_hand.popitem(last=False)
        return known
