"""``compress``: the smallest policy that is certified to keep the return, or the recipes that were asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from policypress.compression.pipeline import session_notices
from policypress.compression.recipe import Recipe
from policypress.engine.cells.cell import Cell
from policypress.engine.events import CostsMeasured, EventHandler, ignore
from policypress.engine.executors.choice import can_travel, executor_of
from policypress.engine.outcome import RunOutcome
from policypress.engine.store.reader import STORE_NAME
from policypress.engine.store.store import Store
from policypress.engine.tasks.calibration import Calibration, counts_for, hash_of
from policypress.engine.tasks.costs import CostRequest
from policypress.environments.determinism import ignores_seed
from policypress.environments.observations import RecordedObservations
from policypress.environments.return_limits import return_limits
from policypress.environments.rollout import try_out
from policypress.environments.wrappers.one_of_many import as_factory
from policypress.measurement.agent_in_environment import AgentInEnvironment, AgentLike, agent_in_environment, cut_notice
from policypress.measurement.evaluation import runtime_of
from policypress.measurement.returns import actor_of
from policypress.measurement.suspects import hardly_better
from policypress.records import ArtifactRecord, EvaluationProtocol
from policypress.search.by_action_error import in_words, smallest_within, untrained_recipes
from policypress.search.claim import claimed_builder
from policypress.search.finalists import measure_finalists, measure_together, played_under
from policypress.search.found.compressed import Compressed
from policypress.search.gate import Gate
from policypress.search.history import SearchHistory
from policypress.search.objective import BASELINE, Objective
from policypress.search.options import CompressOptions, Goal
from policypress.search.racing import AcceptanceCriterion
from policypress.search.robustness_evaluation import deviations_of, measure_robustness
from policypress.search.session import RANDOM, Session
from policypress.search.strategy import Search
from policypress.search.time_budget import TimeBudget
from policypress_runtime.errors import StudyInputError
from policypress_runtime.runtimes.loading import resolved
from policypress_runtime.runtimes.protocol import ONNXRUNTIME, RuntimeName

# Of all episodes, the share that one candidate's certificate may take, and the baseline's as many again.
GATE_SHARE = 0.35
STAYS_HERE = (
    "env_fn cannot be imported by other processes, so everything runs in this one; "
    "put it into a module of its own to use every core."
)


def compress(
    agent: AgentLike,
    recipes: Sequence[str | Recipe] | None = None,
    *,
    output: str | Path,
    on_event: EventHandler = ignore,
    options: CompressOptions | None = None,
    **changes: Any,
) -> Compressed:
    """Find the smallest policy that surely keeps the return of ``agent``, into the folder ``output``.

    Without ``recipes`` it searches: cheap filters, then episodes as long as they tell something, then a certificate on
    held-out episodes. With ``recipes`` the agent is compressed by each of them, and what they keep and cost is
    measured, nothing else. The fp32 baseline and random actions are always measured too. Interrupted, the same call
    continues. Into the folder of a study that has the agent, it finds what the study has done.

    Args:
        agent: path of a zip, an RL Zoo folder, an ONNX file or a checkpoint, a Hub id, a bundle, a policy; or a live
            object: a model of Stable-Baselines3, a module of torch, TorchScript, an actor-critic of rsl_rl.
        recipes: what to compress it by in place of searching; ``CompressOptions.recipes``.
        output: folder of the store (``study.db``), the artifacts and the report.
        on_event: called with every event.
        options: everything else.
        changes: fields of :class:`~policypress.search.options.CompressOptions`, in place of those of ``options``:
            ``compress("agent.zip", output="out", keep=0.9, budget_minutes=30)``.

    Raises:
        InputError: the agent, the environment, an option or the folder cannot be used.
        NativeBuildError: ``runtime`` is ``native`` and there is no compiler.
    """
    if recipes is not None:
        changes["recipes"] = tuple(recipes)
    asked = replace(options or CompressOptions(), **changes)
    env_fn = as_factory(asked.env_fn)
    budget = TimeBudget(60 * asked.budget_minutes, asked.costs)
    subject = agent_in_environment(
        agent,
        env=asked.env,
        env_fn=env_fn,
        overrides=asked.overrides,
        needs_environment=asked.observations is None,
    )
    acting, told = resolved(asked.runtime or (ONNXRUNTIME if asked.recipes is None else "auto"))
    notices = (*subject.notices, *told)
    if asked.executor == "local" and env_fn is not None and not can_travel(env_fn):
        asked, notices = replace(asked, executor="debug"), (*notices, STAYS_HERE)
    with _opened(subject, asked, acting, Path(output), on_event) as session:
        if asked.recipes is not None:
            return _by_recipes(session, asked, notices)
        if asked.max_action_error is not None:
            return _by_action_error(session, asked, budget, notices)
        return _searched(session, asked, budget, notices)


@contextmanager
def _opened(
    subject: AgentInEnvironment, asked: CompressOptions, acting: RuntimeName, folder: Path, on_event: EventHandler
) -> Iterator[Session]:
    """A session of ``subject`` in its store."""
    recorded = None
    if asked.observations is not None:
        recorded = RecordedObservations.load(Path(asked.observations), subject.policy.observation_space)
    elif subject.factory is None:
        raise StudyInputError(
            "It is not known which environment the agent acts in.",
            got=f"no environment in {subject.source}",
            expected="an environment, or recorded observations",
            hint="Name it with --env, or give recipes and --observations logged.npz (then returns are not measured).",
        )
    else:
        try_out(subject.factory)
    protocol = EvaluationProtocol(
        episodes=0 if recorded is not None or asked.recipes is None else asked.episodes,
        seed=asked.seed,
        max_steps=asked.max_steps or subject.max_steps,
        runtime=acting,
        masked=subject.masked,
        fall_key=_fall_key(asked),
    )
    calibration = Calibration(subject, asked.seed, recorded)
    count = counts_for(subject.policy.observation_space).calibration
    digest = None if recorded is None else hash_of(recorded)
    with Store(folder / STORE_NAME) as store, executor_of(asked.executor, asked.jobs) as running:
        builder = claimed_builder(store, subject, protocol, count, digest)
        yield Session(calibration, builder, store, running, on_event, asked.retry_failed)


def _fall_key(asked: CompressOptions) -> str:
    """The key of ``info`` that a search has to look at."""
    rule = None if asked.recipes is not None or asked.observations is not None else asked.goal.fall_rule
    return rule.key if rule is not None and rule.kind == "info" else ""


def _request(asked: CompressOptions) -> CostRequest:
    return CostRequest(seed=asked.seed, watts_per_core=asked.watts_per_core)


def _by_recipes(session: Session, asked: CompressOptions, notices: tuple[str, ...]) -> Compressed:
    """Random actions (where there is an environment), the baseline, and the recipes, each once."""
    store, builder = session.store, session.builder
    cells: dict[str, Cell] = {} if asked.observations is not None else {RANDOM: builder.random()}
    for recipe in (Recipe(), *asked.parsed):
        cells.setdefault(recipe.text, builder.recipe(recipe))
    outcome = session.run(cells.values())
    rows = [row for cell in outcome.done for row in store.episodes(cell.key)]
    notices = (*notices, *cut_notice(rows, asked.max_steps))
    if asked.costs and not outcome.interrupted:
        measured = measure_together(session, played_under(store, outcome.done), _request(asked))
        notices = (*notices, *measured.notices)
        outcome = replace(outcome, interrupted=measured.interrupted)
    records = [record for cell in cells.values() if (record := store.artifact(cell.key)) is not None]
    notices = (*notices, *_doubts(session, cells), *(notice for record in records for notice in record.notices))
    notices = tuple(dict.fromkeys((*notices, *session_notices(list(asked.parsed)))))
    keys = {name: cell.key for name, cell in cells.items()}
    groups: dict[str, tuple[str, ...]] = {name: (key,) for name, key in keys.items()}
    found = Compressed(store.path, keys, outcome, notices, None, groups)
    if not asked.robustness or asked.observations is not None or outcome.interrupted:
        return found
    return _made_robust(found, session)


def _by_action_error(
    session: Session, asked: CompressOptions, budget: TimeBudget, notices: tuple[str, ...]
) -> Compressed:
    """Build what takes no training, as much as the time allows, and say which is the smallest within the error."""
    recipes, width = untrained_recipes(), 2 * session.executor.capacity
    built: list[str] = []
    for start in range(0, len(recipes), width):
        if budget.spent() >= 1:
            notices = (*notices, f"The time was over after {len(built)} of {len(recipes)} recipes.")
            break
        found = session.build([Recipe.parse(text) for text in recipes[start : start + width]])
        built += [text for text, record in found.items() if isinstance(record, ArtifactRecord)]
    done = _by_recipes(session, replace(asked, recipes=built, max_action_error=None, costs=False), notices)
    records = {name: row for name, key in done.cells.items() if (row := session.store.artifact(key)) is not None}
    most = asked.max_action_error or 0.0
    chosen = smallest_within(records, most)
    outcome, told = done.outcome, (in_words(records, most), *done.notices)
    if asked.costs and chosen is not None and not outcome.interrupted:
        cells = [cell for cell in outcome.done if cell.recipe in (BASELINE, chosen)]
        measured = measure_together(session, played_under(session.store, cells), _request(asked))
        outcome, told = replace(outcome, interrupted=measured.interrupted), (*told, *measured.notices)
    return replace(done, outcome=outcome, notices=told)


def _doubts(session: Session, cells: dict[str, Cell]) -> tuple[str, ...]:
    """Notices about a baseline that is hardly better than random actions."""
    if RANDOM not in cells:
        return ()
    played = [[row.episode_return for row in session.store.episodes(cells[name].key)] for name in (BASELINE, RANDOM)]
    return hardly_better(session.subject.policy.origin, *played)


def _searched(session: Session, asked: CompressOptions, budget: TimeBudget, notices: tuple[str, ...]) -> Compressed:
    """Search, then measure what is to be shown."""
    goal, store, subject = asked.goal, session.store, session.subject
    known = return_limits(subject.environment)
    criterion = criterion_of(goal, known, deterministic=_deterministic(subject, asked))
    fastest, _ = resolved(asked.runtime or "auto")
    objective = Objective(
        goal.minimize,
        store.folder,
        seed=asked.seed,
        watts_per_core=asked.watts_per_core,
        runtime=fastest,
        on_step=lambda done, total: session.on_event(CostsMeasured(done, total)),
    )
    history = search_of(session, goal, objective, criterion, budget).run()
    left_s = budget.left_for_costs_s()
    told = measure_finalists(session, history, fastest, _request(asked), left_s) if asked.costs else ()
    found = result_of(session, history, (*notices, *told), asked.max_steps)
    if history.winner is not None:
        record = store.artifact(found.cells[history.winner])
        more = () if record is None else record.notices
        more += session_notices([Recipe.parse(history.winner)])
        found = replace(found, notices=tuple(dict.fromkeys((*found.notices, *more))))
    if not asked.robustness or history.winner is None:
        return found
    return _made_robust(found, session, [history.winner])


def criterion_of(
    goal: Goal,
    known_limits: tuple[float | None, float | None] = (None, None),
    *,
    deterministic: bool = False,
    look_every: float = 0.1,
) -> AcceptanceCriterion:
    """When a candidate is accepted.

    Args:
        goal: of the search.
        known_limits: of a return, where the environment's rewards have some.
        deterministic: the environment ignores its seed.
        look_every: share of the planned pairs between two looks at a certificate.
    """
    return AcceptanceCriterion(
        goal.keep,
        goal.confidence,
        max(int(GATE_SHARE * goal.max_episodes), 1),
        deterministic,
        goal.worst_return,
        goal.best_return,
        known_limits,
        goal.fall_rule,
        goal.fall_limit,
        look_every,
    )


def search_of(
    session: Session, goal: Goal, objective: Objective, criterion: AcceptanceCriterion, budget: TimeBudget
) -> Search:
    """The search of a session for ``goal``."""
    gate = Gate(session, criterion, goal.max_episodes, budget)
    # No student has a memory yet.
    training = goal.training and not session.subject.policy.states
    return Search(session, objective, criterion, gate, budget, training=training)


def _deterministic(subject: AgentInEnvironment, asked: CompressOptions) -> bool:
    """Whether the environment ignores its seed with random actions and, over the whole horizon, with the agent."""
    if subject.factory is None or not ignores_seed(subject.factory, asked.seed):
        return False
    acting, steps = runtime_of(subject.policy), asked.max_steps or subject.max_steps
    return ignores_seed(subject.factory, asked.seed, act=actor_of(acting), steps=steps)


def _made_robust(found: Compressed, session: Session, recipes: Sequence[str] | None = None) -> Compressed:
    """``found`` with the robustness of ``recipes``, by default of all that it has."""
    subject = session.subject
    space = subject.policy.observation_space
    if subject.environment is None or subject.factory is None:
        return found
    names = [name for name in found.cells if name not in (RANDOM, BASELINE)] if recipes is None else list(recipes)
    try:
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


def result_of(session: Session, history: SearchHistory, notices: tuple[str, ...], stated: int | None) -> Compressed:
    """What a search did, from its session: the cells that it chose by and how they ended.

    Args:
        session: of the search.
        history: of it.
        notices: for the user.
        stated: the step limit that the user stated.
    """
    store = session.store
    groups = {name: tuple(keys) for name, keys in session.cells.items() if keys}
    found = {key: row for keys in groups.values() for key in keys if (row := store.cell(key)) is not None}
    outcome = RunOutcome(
        done=tuple(row.cell for row in found.values() if row.status == "done"),
        failed=tuple((row.cell, row.failure) for row in found.values() if row.failure is not None),
        left=tuple(row.cell for row in found.values() if row.status in ("pending", "running")),
        interrupted=history.ending == "interrupted",
    )
    firsts = {name: keys[0] for name, keys in groups.items()}
    rows = [row for cell in outcome.done for row in store.episodes(cell.key)]
    notices = (*notices, *cut_notice(rows, stated))
    return Compressed(store.path, firsts, outcome, notices, history, groups)
