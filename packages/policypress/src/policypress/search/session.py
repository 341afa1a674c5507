"""One agent, one store, one executor: recipes become cells, cells become artifacts, returns and costs.

Everything is in the store as soon as it is there, so a search that was stopped finds it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from policypress.compression.pipeline import CalibrationData
from policypress.compression.recipe import Recipe
from policypress.engine.cells.builder import CellBuilder, cost_cell
from policypress.engine.cells.cell import Cell, canonical_json
from policypress.engine.events import EventHandler, ignore
from policypress.engine.executors.executor import Executor
from policypress.engine.outcome import RunOutcome
from policypress.engine.plan import Plan
from policypress.engine.run_options import RunOptions
from policypress.engine.scheduler import run_cells
from policypress.engine.store.store import Store
from policypress.engine.tasks.calibration import Calibration
from policypress.engine.tasks.costs import CostRequest
from policypress.engine.tasks.factory import EPISODES_PER_TASK, OneAgent, TaskFactory
from policypress.engine.tasks.task import Failure
from policypress.environments.making import SpecFactory
from policypress.environments.side_by_side import side_by_side
from policypress.measurement.agent_in_environment import AgentInEnvironment
from policypress.measurement.suspects import suspects
from policypress.records import ArtifactRecord, EpisodeRecord
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.runtimes.protocol import RuntimeName

BUILD = "search/build"
CERTIFICATE = "certificate"
RANDOM_CERTIFYING = f"{CERTIFICATE}/1/random"
"""Episodes of random actions that certificates count; all of one search count the same."""
EARLIER_CERTIFICATION = "certification"
"""Under which earlier versions kept what they certified by another rule: their numbers are spent, no more."""
RANDOM = "random"
# Of the wall's clock beside the CPU time of episodes: tasks travel, and other programs take their share.
SLACK = 1.3


@dataclass(frozen=True)
class EpisodeRequest:
    """A request for episodes of a recipe (None: random actions), from the seed stream ``purpose``."""

    recipe: Recipe | None
    purpose: str
    episodes: int
    environment: EnvironmentSpec | None = None


@dataclass
class Session:
    """One agent, one store, one executor.

    ``cells`` lists keys by the recipe's text (``random`` for random actions), in order of use: the builds and the
    episodes that recipes are chosen by, not those of certification or of disturbed environments.
    """

    calibration: Calibration
    builder: CellBuilder
    store: Store
    executor: Executor
    on_event: EventHandler = ignore
    retry_failed: bool = False
    cells: dict[str, list[str]] = field(default_factory=dict)
    _played: dict[str, Cell] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._tasks = TaskFactory(OneAgent(self.calibration, self.builder.agent))

    @property
    def subject(self) -> AgentInEnvironment:
        """The agent in its environment."""
        return self.calibration.subject

    @property
    def materials(self) -> CalibrationData:
        """Observations of the agent's own episodes."""
        return self.calibration.materials

    @cached_property
    def _episodes_per_task(self) -> int:
        """As many as the user's simulator plays side by side; only what the user makes himself can be one."""
        factory = self.subject.factory
        own = factory is not None and not isinstance(factory, SpecFactory) and self.calibration.recorded is None
        return max(EPISODES_PER_TASK, side_by_side(factory)) if factory is not None and own else EPISODES_PER_TASK

    @property
    def suspects(self) -> tuple[str, ...]:
        """What may be at fault where the agent plays badly, the likeliest first; sentences without their full stop."""
        found = (*self.subject.suspects, suspects(self.subject.policy.origin))
        return tuple(sentence.removesuffix(".") for sentence in found)

    def run(self, cells: Iterable[Cell]) -> RunOutcome:
        """Do what the store lacks of ``cells``."""
        options = RunOptions(retry_failed=self.retry_failed, episodes_per_task=self._episodes_per_task)
        return run_cells(Plan(tuple(cells)), self._tasks, self.store, self.executor, self.on_event, options)

    def measure(self, asked: Mapping[Cell, Sequence[RuntimeName]], request: CostRequest) -> RunOutcome:
        """Measure what acting with the artifacts of ``asked`` costs, under each of their runtimes, all in one run."""
        pairs = [(cost_cell(maker, name, request.stated()), maker) for maker, names in asked.items() for name in names]
        plan = Plan(tuple(cost for cost, _ in pairs), {cost.key: maker.key for cost, maker in pairs})
        options = RunOptions(retry_failed=True, costs=request)
        return run_cells(plan, self._tasks, self.store, self.executor, self.on_event, options)

    def build(self, recipes: Iterable[Recipe]) -> dict[str, ArtifactRecord | Failure]:
        """The artifact of each recipe, by its text; a failure where there is none.

        Raises:
            KeyboardInterrupt: the driver was interrupted; what is complete is in the store.
        """
        plays = [EpisodeRequest(recipe, BUILD, 0) for recipe in recipes]
        cells = {play.recipe.text: self._noted(play) for play in plays if play.recipe is not None}
        failed = self._run(cells.values())
        found: dict[str, ArtifactRecord | Failure] = {}
        for text, cell in cells.items():
            record = self.store.artifact(cell.key)
            found[text] = failed.get(cell.key, Failure("ExecutionError", "not built")) if record is None else record
        return found

    def play(self, plays: Sequence[EpisodeRequest]) -> dict[int, Failure]:
        """Bring the episodes of ``plays`` into the store; index → failure of those that could not be played.

        Raises:
            KeyboardInterrupt: see :meth:`build`.
        """
        cells = [self._noted(play) for play in plays]
        failed = self._run(cells)
        self._played |= {cell.key: cell for cell in cells}
        return {index: failed[cell.key] for index, cell in enumerate(cells) if cell.key in failed}

    def returns(self, play: EpisodeRequest) -> list[float]:
        """Returns of a play's episodes, in the order of their seeds in the stream."""
        return [row.episode_return for row in self.episodes(play)]

    def episodes(self, play: EpisodeRequest) -> list[EpisodeRecord]:
        """A play's episodes, in the order of their seeds in the stream."""
        cell = self._cell(play)
        rows = {row.seed: row for row in self.store.episodes(cell.key)}
        return [rows[seed] for seed in cell.seeds() if seed in rows]

    def count(self) -> int:
        """Episodes of all plays of this session."""
        return sum(len(self.store.seeds(key)) for key in self._played)

    def episode_s(self) -> float:
        """What an episode takes here, by the wall's clock: CPU time of those played, shared among the processes."""
        played = [row.cpu_s for key in self._played for row in self.store.episodes(key)]
        return max(sum(played) / max(len(played), 1) * SLACK / self.executor.capacity, 1e-4)

    def all_returns(self) -> list[float]:
        """Returns of every episode that this session has asked for so far, of whatever policy.

        Without the random actions that every certificate counts: no limit of theirs may depend on them.
        """
        keys = [key for key, cell in self._played.items() if cell.protocol.purpose != RANDOM_CERTIFYING]
        return [row.episode_return for key in keys for row in self.store.episodes(key)]

    def key(self, play: EpisodeRequest) -> str:
        """Of the cell that a play is."""
        return self._cell(play).key

    def certified_before(self) -> dict[int, str]:
        """Certifications in the store: number → the candidate's recipe.

        A number that was spent on one recipe is never given to another.
        """
        return {number: recipe for head, number, recipe in self._certifications() if head == CERTIFICATE}

    def numbers_spent(self) -> frozenset[int]:
        """Numbers of certifications that the store has, by whatever rule."""
        return frozenset(number for _, number, _ in self._certifications())

    def _certifications(self) -> Iterator[tuple[str, int, str]]:
        mine = self._cell(EpisodeRequest(Recipe(), BUILD, 0))
        for row in self.store.cells(kind="variant"):
            cell = row.cell
            head, _, rest = cell.protocol.purpose.partition("/")
            number = rest.partition("/")[0]
            known = head in (CERTIFICATE, EARLIER_CERTIFICATION) and number.isdigit() and cell.recipe != mine.recipe
            if known and _whose(cell) == _whose(mine) and cell.protocol.seed == mine.protocol.seed:
                yield head, int(number), cell.recipe

    def _run(self, cells: Iterable[Cell]) -> dict[str, Failure]:
        """Do what the store lacks; key → failure."""
        outcome = self.run(cells)
        if outcome.interrupted:
            raise KeyboardInterrupt
        return {cell.key: failure for cell, failure in outcome.failed}

    def _noted(self, play: EpisodeRequest) -> Cell:
        """The cell of a play that will be done, noted among :attr:`cells` where it is one to choose by."""
        cell = self._cell(play)
        keys = self.cells.setdefault(RANDOM if play.recipe is None else play.recipe.text, [])
        if cell.key not in keys and play.environment is None and not play.purpose.startswith(f"{CERTIFICATE}/"):
            keys.append(cell.key)
        return cell

    def _cell(self, play: EpisodeRequest) -> Cell:
        protocol = replace(self.builder.protocol, purpose=play.purpose, episodes=play.episodes)
        if play.recipe is None:
            return self.builder.random(protocol, play.environment)
        return self.builder.recipe(play.recipe, protocol, play.environment)


def _whose(cell: Cell) -> str:
    """Agent, environment and inputs of a cell as text.

    An environment that the user named has a type of its own, which no store gives back, and is never equal to one.
    """
    identity = cell.identity()
    return canonical_json([identity[part] for part in ("agent", "environment", "inputs")])
