"""From a study file to its cells, and which cell waits for which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from policypress.compression.recipe import Recipe
from policypress.engine.cells.builder import CellBuilder, cost_cell
from policypress.engine.cells.cell import BASELINE_RECIPE, Cell
from policypress.engine.plan import Plan
from policypress.records import EvaluationProtocol
from policypress.study.agents import PlannedAgent
from policypress.study.spec import CostMeasurements, RuntimeName, StudySpec
from policypress_runtime.runtimes.loading import resolved


@dataclass(frozen=True)
class StudyPlan(Plan):
    """The cells of a study, and its agents by their identity."""

    agents: Mapping[str, PlannedAgent] = field(default_factory=dict)


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
        own = _builder(spec, agent).own()
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
    return StudyPlan(tuple(cells.values()), needs, listed)


def _builder(spec: StudySpec, agent: PlannedAgent, runtime: str = "") -> CellBuilder:
    protocol = EvaluationProtocol(
        episodes=spec.evaluation.episodes,
        seed=spec.evaluation.seed,
        max_steps=spec.evaluation.max_steps or agent.max_steps,
        runtime=runtime,
        masked=agent.masked,
    )
    return CellBuilder.of_study(agent.identity, agent.environment, protocol)


def _random_and_recipes(
    spec: StudySpec, agent: PlannedAgent, runtimes: Iterable[str], recipes: Mapping[str, Recipe]
) -> Iterable[Cell]:
    for runtime in runtimes:
        builder = _builder(spec, agent, runtime)
        yield builder.random()
        yield from (builder.recipe(recipes[text]) for text in dict.fromkeys((BASELINE_RECIPE, *agent.recipes)))


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
    stated = how.request(spec.evaluation.seed).stated()
    runtimes = _resolved(how.runtimes or spec.evaluation.runtimes)
    for made_by in makers.values():
        for runtime in runtimes:
            maker = made_by.get(runtime) or next(iter(made_by.values()))
            yield cost_cell(maker, runtime, stated), maker


def _is_measured(agent: PlannedAgent, how: CostMeasurements) -> bool:
    return how.seeds is None or agent.training is None or agent.training["seed"] in how.seeds
