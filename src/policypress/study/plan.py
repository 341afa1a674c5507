"""From a study file to its cells, and which cell waits for which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from policypress.compression.recipe import Recipe
from policypress.contract import EnvironmentSpec
from policypress.engine.cell import BASELINE_RECIPE, Cell
from policypress.records import EvaluationProtocol
from policypress.runtime.loading import resolved
from policypress.study.agents import PREPARATION_VERSION, PlannedAgent
from policypress.study.spec import CostMeasurements, RuntimeName, StudySpec

_PREPARATION = "preparation"
_COSTS = "costs"
COSTS_VERSION = 1
"""Part of the key of every cost cell: raise it when costs are measured in another way."""


@dataclass(frozen=True)
class StudyPlan:
    """The cells of a study.

    Args:
        agents: by identity.
        cells: every cell once; an agent's own cell comes before its others.
        needs: key of a cell → key of the cell that has to be done first: the agent's own, and for costs the one that
            makes the artifact.
    """

    agents: Mapping[str, PlannedAgent]
    cells: tuple[Cell, ...]
    needs: Mapping[str, str]

    def episodes(self) -> int:
        """Episodes of all cells."""
        return sum(cell.protocol.episodes for cell in self.cells)

    def of_agent(self, identity: str) -> tuple[Cell, ...]:
        """An agent's cells."""
        return tuple(cell for cell in self.cells if cell.agent_sha256 == identity)

    @property
    def result_cells(self) -> tuple[Cell, ...]:
        """All cells but those of costs."""
        return tuple(cell for cell in self.cells if cell.kind != "cost")

    @property
    def cost_cells(self) -> tuple[Cell, ...]:
        """The cells of costs."""
        return tuple(cell for cell in self.cells if cell.kind == "cost")


def plan_study(spec: StudySpec, agents: Iterable[PlannedAgent]) -> StudyPlan:
    """Every cell of ``spec`` for ``agents``.

    Each agent has its own cell (training, rollouts), and for each runtime its fp32 baseline and one cell per recipe;
    each environment has one cell of random actions. Where costs are measured, each artifact has one cell for each
    runtime; they come last.
    """
    cells: dict[str, Cell] = {}
    needs: dict[str, str] = {}
    listed = {agent.identity: agent for agent in agents}
    runtimes = _resolved(spec.evaluation.runtimes)
    texts = {BASELINE_RECIPE, *(text for agent in listed.values() for text in agent.recipes)}
    recipes = {text: Recipe.parse(text) for text in texts}
    for agent in listed.values():
        own = _own_cell(spec, agent)
        cells[own.key] = own
        for cell in _random_and_recipes(spec, agent, runtimes, recipes):
            cells.setdefault(cell.key, cell)
            if cell.kind != "random":
                needs[cell.key] = own.key
    if spec.costs is not None:
        played = tuple(cells.values())
        for cost, made_by in _costs(spec, spec.costs, listed, played):
            cells[cost.key] = cost
            needs[cost.key] = made_by.key
    return StudyPlan(listed, tuple(cells.values()), needs)


def _own_cell(spec: StudySpec, agent: PlannedAgent) -> Cell:
    return Cell(
        kind="agent",
        protocol=EvaluationProtocol(episodes=0, seed=spec.evaluation.seed, masked=agent.masked),
        environment=agent.environment,
        agent_sha256=agent.identity,
        method_versions={_PREPARATION: PREPARATION_VERSION},
        inputs={"seed": spec.evaluation.seed},
    )


def _random_and_recipes(
    spec: StudySpec, agent: PlannedAgent, runtimes: Iterable[str], recipes: Mapping[str, Recipe]
) -> Iterable[Cell]:
    for runtime in runtimes:
        protocol = EvaluationProtocol(
            episodes=spec.evaluation.episodes,
            seed=spec.evaluation.seed,
            max_steps=spec.evaluation.max_steps or agent.max_steps,
            runtime=runtime,
            masked=agent.masked,
        )
        # Random actions are drawn without a runtime, and so are the same under each.
        yield Cell("random", replace(protocol, runtime=""), plain(agent.environment))
        for recipe in (recipes[text] for text in dict.fromkeys((BASELINE_RECIPE, *agent.recipes))):
            yield Cell(
                kind="variant" if recipe.steps else "baseline",
                protocol=protocol,
                environment=agent.environment,
                agent_sha256=agent.identity,
                recipe=recipe.text,
                recipe_hash=recipe.hash,
                recipe_json=recipe.to_json(),
                method_versions={**recipe.versions, _PREPARATION: PREPARATION_VERSION},
                inputs={"seed": spec.evaluation.seed},
            )


def _resolved(runtimes: Iterable[RuntimeName]) -> tuple[str, ...]:
    """What acts. What "auto" is here decides the keys: on a machine without a compiler it is another study's cells."""
    return tuple(dict.fromkeys(resolved(chosen)[0] for chosen in runtimes))


def _costs(
    spec: StudySpec, how: CostMeasurements, agents: Mapping[str, PlannedAgent], played: Iterable[Cell]
) -> Iterator[tuple[Cell, Cell]]:
    """Each cost cell and the cell that makes its artifact: the one that plays under the same runtime, if one does."""
    makers: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in played:
        if cell.kind in ("baseline", "variant") and _is_measured(agents[cell.agent_sha256 or ""], how):
            makers.setdefault((cell.agent_sha256 or "", cell.recipe), {})[cell.protocol.runtime] = cell
    stated = how.model_dump(mode="json", exclude={"runtimes", "seeds"})
    runtimes = _resolved(how.runtimes or spec.evaluation.runtimes)
    for made_by in makers.values():
        for runtime in runtimes:
            maker = made_by.get(runtime) or next(iter(made_by.values()))
            cost = replace(
                maker,
                kind="cost",
                protocol=replace(maker.protocol, episodes=0, max_steps=None, runtime=runtime),
                method_versions={**maker.method_versions, _COSTS: COSTS_VERSION},
                inputs={**maker.inputs, _COSTS: stated},
            )
            yield cost, maker


def _is_measured(agent: PlannedAgent, how: CostMeasurements) -> bool:
    return how.seeds is None or agent.training is None or agent.training["seed"] in how.seeds


def plain(environment: EnvironmentSpec) -> EnvironmentSpec:
    """The environment without the name it was trained under, which changes nothing in it."""
    return replace(environment, trained_id=None)
