"""``compress``: the smallest policy that is certified to keep the return, or the recipes that were asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from policypress.agent.overrides import NO_OVERRIDES, Overrides
from policypress.compression.pipeline import session_notices
from policypress.compression.recipe import Recipe
from policypress.contract import EnvironmentSpec
from policypress.engine.agent_factory import PressWorker, counts_for
from policypress.engine.progress import Progress
from policypress.engine.scheduler import StudyOutcome
from policypress.engine.store.reader import STORE_NAME
from policypress.engine.store.store import Store
from policypress.environment.determinism import ignores_seed
from policypress.errors import StudyInputError
from policypress.measurement.agent_in_environment import (
    AgentInEnvironment,
    AgentLike,
    Factory,
    agent_in_environment,
    cut_notice,
)
from policypress.measurement.energy import checked_watts
from policypress.records import EvaluationProtocol
from policypress.runtime.loading import resolved
from policypress.runtime.protocol import ONNXRUNTIME, RuntimeChoice, RuntimeName
from policypress.search.certification import checked_share
from policypress.search.disturbing import deviations_of, measure_robustness
from policypress.search.finalists import CostOptions, measure_finalists
from policypress.search.gate import Gate
from policypress.search.history import OBJECTIVES, Minimize, SearchHistory
from policypress.search.narrator import Narrator, narrator_of
from policypress.search.objective import BASELINE, Objective
from policypress.search.racing import Bar
from policypress.search.robustness import Robustness
from policypress.search.session import RANDOM, Session
from policypress.search.strategy import Search
from policypress.search.worker import SearchWorker
from policypress.study.compress import STAYS_HERE, Compressed, ExecutorName, can_travel, claim, executor_of
from policypress.study.compress import compress as press_recipes

BUDGET_MINUTES = 20.0
MAX_EPISODES = 6000
# Of all episodes, the share that one candidate's certificate may take, and the baseline's as many again.
GATE_SHARE = 0.35


@dataclass(frozen=True)
class Goal:
    """What a search looks for, and what it may spend.

    Args:
        keep: share of the baseline's score, (R − R_random) / (R_baseline − R_random), to keep.
        confidence: of the certificate.
        minimize: ``size`` (packed bytes), ``latency``, ``energy`` or ``macs``.
        budget_minutes: after which nothing new is tried; a certificate that is due is still made.
        max_episodes: of all policies together.
        training: whether recipes that take gradient steps are tried as well.
    """

    keep: float = 0.95
    confidence: float = 0.95
    minimize: Minimize = "size"
    budget_minutes: float = BUDGET_MINUTES
    max_episodes: int = MAX_EPISODES
    training: bool = True

    def __post_init__(self) -> None:
        checked_share("share to keep", self.keep)
        checked_share("confidence", self.confidence)
        if not self.budget_minutes > 0:
            raise StudyInputError(
                "A search needs time.", got=f"{self.budget_minutes:g} minutes", expected="more than 0"
            )
        if self.max_episodes < 1:
            raise StudyInputError("A search needs episodes.", got=str(self.max_episodes), expected="at least 1")

    @staticmethod
    def stated(
        keep: float, confidence: float, minimize: str, budget_minutes: float, max_episodes: int, training: bool
    ) -> Goal:
        """The goal as a user states it.

        Raises:
            StudyInputError: a number or a name that is none.
        """
        for known in OBJECTIVES:
            if known == minimize:
                return Goal(keep, confidence, known, budget_minutes, max_episodes, training)
        raise StudyInputError("It is not known how to minimize this.", got=minimize, expected=", ".join(OBJECTIVES))


@dataclass(frozen=True)
class Searched(Compressed):
    """What ``compress`` did: where the store is, what was tried, and what won.

    ``cells`` maps ``random``, ``none`` and every recipe to the key of its first cell; ``groups`` to all of its cells
    that it was chosen by. ``history`` is the search's, None where recipes were given; ``robustness`` is there where it
    was asked for.
    """

    history: SearchHistory | None
    groups: dict[str, tuple[str, ...]]
    robustness: Robustness | None = None


def compress(
    agent: AgentLike,
    recipes: Sequence[str | Recipe] | None = None,
    *,
    output: str | Path,
    keep: float = 0.95,
    confidence: float = 0.95,
    minimize: str = "size",
    budget_minutes: float = BUDGET_MINUTES,
    max_episodes: int = MAX_EPISODES,
    training: bool = True,
    episodes: int = 100,
    seed: int = 0,
    env: EnvironmentSpec | str | None = None,
    env_fn: Factory | None = None,
    observations: str | Path | None = None,
    max_steps: int | None = None,
    overrides: Overrides = NO_OVERRIDES,
    executor: ExecutorName = "local",
    jobs: int | None = None,
    progress: Progress | None = None,
    retry_failed: bool = False,
    costs: bool = True,
    watts_per_core: float | None = None,
    robustness: bool = False,
    runtime: RuntimeChoice | None = None,
) -> Searched:
    """Find the smallest policy that surely keeps the return of ``agent``, into the folder ``output``.

    Without ``recipes`` it searches: cheap filters, then episodes as long as they tell something, then a certificate on
    seeds that were used for nothing before. Interrupted, the same call continues. With ``recipes`` these are pressed
    and measured, and nothing else (:func:`policypress.study.compress.compress`).

    Args:
        agent: path of a zip, an RL Zoo folder or an ONNX file, a Hub id, a bundle or a policy.
        recipes: what to press in place of searching; ``policypress.study.compress.CLASSIC`` are those of the papers.
        output: folder of the store, the artifacts and the report.
        keep: see :class:`Goal`, as for the next four.
        confidence: see :class:`Goal`.
        minimize: see :class:`Goal`.
        budget_minutes: see :class:`Goal`.
        max_episodes: see :class:`Goal`.
        training: see :class:`Goal`.
        episodes: of every policy where ``recipes`` are given; a search plays as many as it needs.
        seed: of everything random.
        env: the environment, where the agent does not name it or another is wanted.
        env_fn: makes the user's own environment; see :func:`policypress.study.compress.compress`.
        observations: recorded observations in place of an environment; only with ``recipes``.
        max_steps: limit of an episode where the environment has none.
        overrides: facts that the user states of the network.
        executor: ``local`` (one process per core) or ``debug`` (in this process).
        jobs: number of processes of ``local``.
        progress: is told what happens; a :class:`~policypress.search.narrator.Narrator` also of the search.
        retry_failed: also do the cells that failed before.
        costs: afterwards, measure latency, memory and energy of the baseline and of those that got furthest.
        watts_per_core: power of a busy core, for energy that no meter can measure.
        robustness: also play the winner (or the ``recipes``) and the baseline under noise, delay and other physics.
        runtime: what acts: ``native``, ``onnxruntime`` or ``auto``. By default ``auto`` for ``recipes``; a search plays
            under ONNX Runtime, because to compile dozens of candidates takes longer than it saves, and measures costs
            under the native runtime where there is a compiler, and of winner and baseline under both.

    Raises:
        InputError: the agent, the environment, a recipe, the goal or the folder cannot be used.
    """
    if recipes is not None:
        done = press_recipes(
            agent,
            recipes,
            output=output,
            episodes=episodes,
            seed=seed,
            env=env,
            env_fn=env_fn,
            observations=observations,
            max_steps=max_steps,
            overrides=overrides,
            executor=executor,
            jobs=jobs,
            progress=progress,
            retry_failed=retry_failed,
            costs=costs,
            watts_per_core=watts_per_core,
            runtime=runtime or "auto",
        )
        found = Searched(**vars(done), history=None, groups={name: (key,) for name, key in done.cells.items()})
        if not robustness or observations is not None or done.outcome.interrupted:
            return found
    goal = Goal.stated(keep, confidence, minimize, budget_minutes, max_episodes, training)
    if observations is not None:
        raise StudyInputError(
            "A search plays episodes, and recorded observations have none.",
            got=f"observations {observations} and no recipe",
            expected="recipes with --recipe or --classic, or an environment in place of the observations",
        )
    if watts_per_core is not None:
        checked_watts(watts_per_core)
    subject = agent_in_environment(agent, env=env, env_fn=env_fn, overrides=overrides)
    acting, told = resolved(runtime or (ONNXRUNTIME if recipes is None else "auto"))
    fastest, _ = resolved(runtime or "auto")
    how = _How(goal, Path(output), seed, max_steps, retry_failed, costs, watts_per_core, robustness, acting, fastest)
    notices = (*subject.notices, *told)
    if executor == "local" and env_fn is not None and not can_travel(env_fn):
        executor, notices = "debug", (*notices, STAYS_HERE)
    narrator = narrator_of(progress)
    with _opened(subject, how, executor, jobs, narrator) as session:
        if recipes is not None:
            return _made_robust(found, session, subject)
        return _searched(session, subject, how, narrator, notices)


@dataclass(frozen=True)
class _How:
    """The options of one search."""

    goal: Goal
    folder: Path
    seed: int
    max_steps: int | None
    retry_failed: bool
    costs: bool
    watts_per_core: float | None
    robustness: bool
    runtime: RuntimeName
    costs_runtime: RuntimeName


@contextmanager
def _opened(
    subject: AgentInEnvironment, how: _How, executor: ExecutorName, jobs: int | None, narrator: Narrator
) -> Iterator[Session]:
    """A session of ``subject`` in its store."""
    if subject.factory is None:
        raise StudyInputError(
            "It is not known which environment the agent acts in.",
            got=f"no environment in {subject.source}",
            expected="an environment to search in",
            hint="Name it with --env, or give recipes and --observations logged.npz.",
        )
    limit = how.max_steps or subject.max_steps
    protocol = EvaluationProtocol(
        episodes=0, seed=how.seed, max_steps=limit, runtime=how.runtime, masked=subject.masked
    )
    calibration = counts_for(subject.policy.observation_space).calibration
    inputs: dict[str, object] = {"seed": how.seed, "calibration": calibration}
    worker = SearchWorker(PressWorker(subject, how.seed))
    with Store(how.folder / STORE_NAME) as store, executor_of(executor, jobs) as running:
        claim(store, subject)
        yield Session(subject, worker, store, running, protocol, inputs, narrator, retry_failed=how.retry_failed)


def _searched(
    session: Session, subject: AgentInEnvironment, how: _How, narrator: Narrator, notices: tuple[str, ...]
) -> Searched:
    """Search, then measure what is to be shown."""
    goal, store = how.goal, session.store
    deterministic = subject.factory is not None and ignores_seed(subject.factory, how.seed)
    bar = Bar(goal.keep, goal.confidence, max(int(GATE_SHARE * goal.max_episodes), 1), deterministic)
    objective = Objective(
        goal.minimize,
        store.folder,
        seed=how.seed,
        watts_per_core=how.watts_per_core,
        runtime=how.costs_runtime,
        on_step=narrator.measuring,
    )
    gate = Gate(session, bar, goal.max_episodes)
    history = Search(session, objective, bar, gate, 60 * goal.budget_minutes, training=goal.training).run()
    options = CostOptions(how.costs_runtime, how.seed, how.watts_per_core)
    told = measure_finalists(store, session, history, options, narrator) if how.costs else ()
    found = _result(store, session, history, (*notices, *told), how.max_steps)
    if history.winner is not None:
        record = store.artifact(found.cells[history.winner])
        more = () if record is None else record.notices
        more += session_notices([Recipe.parse(history.winner)])
        found = replace(found, notices=tuple(dict.fromkeys((*found.notices, *more))))
    if not how.robustness or history.winner is None:
        return found
    return _made_robust(found, session, subject, [history.winner])


def _made_robust(
    found: Searched, session: Session, subject: AgentInEnvironment, recipes: Sequence[str] | None = None
) -> Searched:
    """``found`` with the robustness of ``recipes``, by default of all that it has."""
    space = subject.policy.observation_space
    if subject.environment is None or subject.factory is None:
        return found
    names = [name for name in found.cells if name not in (RANDOM, BASELINE)] if recipes is None else list(recipes)
    try:
        session.adopt([key for name, key in found.cells.items() if name in names or name == BASELINE])
        measured = measure_robustness(
            session,
            [Recipe.parse(name) for name in names],
            space,
            subject.environment,
            subject.factory,
            deviations_of(space, session.materials),
        )
    except KeyboardInterrupt:
        return replace(found, outcome=replace(found.outcome, interrupted=True))
    return replace(found, robustness=measured)


def _result(
    store: Store, session: Session, history: SearchHistory, notices: tuple[str, ...], stated: int | None
) -> Searched:
    groups = {name: tuple(keys) for name, keys in session.cells.items() if keys}
    found = {key: row for keys in groups.values() for key in keys if (row := store.cell(key)) is not None}
    outcome = StudyOutcome(
        done=tuple(row.cell for row in found.values() if row.status == "done"),
        failed=tuple((row.cell, row.failure) for row in found.values() if row.failure is not None),
        left=tuple(row.cell for row in found.values() if row.status in ("pending", "running")),
        interrupted=history.ending == "interrupted",
    )
    firsts = {name: keys[0] for name, keys in groups.items()}
    rows = [row for cell in outcome.done for row in store.episodes(cell.key)]
    notices = (*notices, *cut_notice(rows, stated))
    return Searched(store.path, firsts, outcome, notices, history, groups)
