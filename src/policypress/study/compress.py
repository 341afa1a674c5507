"""``compress``: a study of one agent. Every recipe becomes an artifact, and its returns are measured."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from policypress.agent.overrides import NO_OVERRIDES, Overrides
from policypress.compression.pipeline import session_notices
from policypress.compression.recipe import Recipe
from policypress.contract import EnvironmentSpec
from policypress.engine.agent_factory import PressWorker, counts_for
from policypress.engine.cell import Cell
from policypress.engine.cost_stage import measure_cell_costs
from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.executors.executor import Executor
from policypress.engine.executors.local_executor import LocalExecutor
from policypress.engine.progress import Progress, Silent
from policypress.engine.scheduler import StudyOutcome, run_study
from policypress.engine.store.reader import SPEC_KEY, STORE_NAME, AgentRow
from policypress.engine.store.store import Store
from policypress.environment.observations import RecordedObservations
from policypress.environment.rollout import try_out
from policypress.errors import ExecutionError, StudyInputError
from policypress.measurement.agent_in_environment import (
    AgentInEnvironment,
    AgentLike,
    Factory,
    agent_in_environment,
    cut_notice,
)
from policypress.measurement.energy import checked_watts
from policypress.measurement.suspects import hardly_better
from policypress.policy.identity import fingerprint
from policypress.records import EvaluationProtocol
from policypress.runtime.loading import resolved
from policypress.runtime.protocol import RuntimeChoice

# What the papers did, in few steps, and the better recipe beside it.
CLASSIC = (
    "none",
    "ptdq",
    "ptsq",
    "equalize > int8",
    *(f"prune({norm}, {ratio})" for norm in ("l1", "l2") for ratio in (0.05, 0.1, 0.3, 0.5)),
)
ExecutorName = Literal["debug", "local"]
STAYS_HERE = (
    "env_fn cannot be imported by other processes, so everything runs in this one; "
    "put it into a module of its own to use every core."
)


@dataclass(frozen=True)
class Compressed:
    """What ``compress`` did: where the store is, and how each cell ended.

    ``cells`` maps ``random`` and every recipe's text to its key in the store.
    """

    store: Path
    cells: dict[str, str]
    outcome: StudyOutcome
    notices: tuple[str, ...]


def compress(
    agent: AgentLike,
    recipes: Sequence[str | Recipe] = CLASSIC,
    *,
    output: str | Path,
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
    runtime: RuntimeChoice = "auto",
) -> Compressed:
    """Press ``agent`` by each recipe and measure what it keeps and what it costs, into the folder ``output``.

    The fp32 baseline and a random policy are always measured too. Interrupted, the same call continues.

    Args:
        agent: path of a zip, an RL Zoo folder or an ONNX file, a Hub id, a bundle or a policy.
        recipes: text forms or recipes; by default those of the papers.
        output: folder of the store (``study.db``) and the artifacts.
        episodes: of every policy, on the same seeds.
        seed: of everything random.
        env: the environment, where the agent does not name it or another is wanted.
        env_fn: makes the user's own environment. One that other processes cannot import (a lambda, a function of
            the script itself) is run in this process. Its code is not part of a cell's key: after changing it, use
            another folder.
        observations: recorded observations (``.npz``) in place of an environment: returns are not measured.
        max_steps: limit of an episode where the environment has none.
        overrides: facts that the user states of the network.
        executor: ``local`` (one process per core) or ``debug`` (in this process).
        jobs: number of processes of ``local``.
        progress: is told what happens.
        retry_failed: also do the cells that failed before.
        costs: after the returns, measure latency, memory and energy of all artifacts together, in this process;
            nothing else should run on the machine then.
        watts_per_core: power of a busy core, for energy that no meter can measure.
        runtime: what acts with the artifacts; decided once, and part of every cell's key. ``auto`` is ``native``
            where there is a C compiler, else ``onnxruntime``.

    Raises:
        InputError: the agent, the environment, a recipe or the folder cannot be used.
        NativeBuildError: ``runtime`` is ``native`` and there is no compiler.
    """
    acting, told = resolved(runtime)
    if watts_per_core is not None:
        checked_watts(watts_per_core)
    if episodes < 1 and observations is None:
        raise StudyInputError("Returns need episodes.", got=f"episodes={episodes}", expected="at least 1")
    parsed = [recipe if isinstance(recipe, Recipe) else Recipe.parse(recipe) for recipe in recipes]
    subject = agent_in_environment(
        agent, env=env, env_fn=env_fn, overrides=overrides, needs_environment=observations is None
    )
    recorded = _recorded(subject, observations)
    if subject.factory is None and recorded is None:
        raise StudyInputError(
            "It is not known which environment the agent acts in.",
            got=f"no environment in {subject.source}",
            expected="an environment, or recorded observations",
            hint="Name it with --env, or give --observations logged.npz (then returns are not measured).",
        )
    if recorded is None and subject.factory is not None:
        try_out(subject.factory)
    protocol = EvaluationProtocol(
        episodes=0 if recorded is not None else episodes,
        seed=seed,
        max_steps=max_steps or subject.max_steps,
        runtime=acting,
        masked=subject.masked,
    )
    cells = _cells(subject, parsed, protocol, seed, recorded)
    folder = Path(output)
    with Store(folder / STORE_NAME) as store:
        claim(store, subject)
        worker = PressWorker(subject, seed, recorded)
        notices = (*subject.notices, *told)
        if executor == "local" and env_fn is not None and not can_travel(env_fn):
            executor, notices = "debug", (*notices, STAYS_HERE)
        with executor_of(executor, jobs) as running:
            outcome = run_study(cells.values(), worker, store, running, progress, retry_failed=retry_failed)
        rows = [row for cell in outcome.done for row in store.episodes(cell.key)]
        notices = (*notices, *cut_notice(rows, max_steps))
        if costs and not outcome.interrupted:
            outcome, told = with_costs(store, outcome, seed, watts_per_core, progress or Silent())
            notices = (*notices, *told)
        records = [store.artifact(cell.key) for cell in cells.values()]
        notices = (*notices, *_doubts(store, subject, cells))
    keys = {name: cell.key for name, cell in cells.items()}
    told = tuple(notice for record in records if record is not None for notice in record.notices)
    notices = tuple(dict.fromkeys((*notices, *told, *session_notices(parsed))))
    return Compressed(folder / STORE_NAME, keys, outcome, notices)


def _doubts(store: Store, subject: AgentInEnvironment, cells: Mapping[str, Cell]) -> tuple[str, ...]:
    """What is to be told of a baseline that is hardly better than random actions."""
    played = [
        [row.episode_return for row in store.episodes(cells[name].key)]
        for name in (Recipe().text, "random")
        if name in cells
    ]
    return hardly_better(subject.policy.origin, *played) if len(played) == 2 else ()


def with_costs(
    store: Store, outcome: StudyOutcome, seed: int, watts_per_core: float | None, progress: Progress
) -> tuple[StudyOutcome, tuple[str, ...]]:
    """The outcome after the cost stage, and what is to be told of it; the returns stand whatever happens here."""
    try:
        measure_cell_costs(store, outcome.done, seed, watts_per_core, progress)
    except KeyboardInterrupt:
        return replace(outcome, interrupted=True), ()
    except ExecutionError as error:
        return outcome, (f"The costs were not measured. {error}",)
    return outcome, ()


def can_travel(env_fn: Factory) -> bool:
    """Whether another process can be given ``env_fn``: it pickles, and not by reference to the running script."""
    if "__main__" in (getattr(env_fn, "__module__", None), type(env_fn).__module__):
        return False
    try:
        pickle.dumps(env_fn)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


def executor_of(name: ExecutorName, jobs: int | None) -> AbstractContextManager[Executor]:
    """The executor ``name`` with ``jobs`` processes, by default one per core."""
    if name == "debug":
        return DebugExecutor()
    return LocalExecutor() if jobs is None else LocalExecutor(jobs)


def _recorded(subject: AgentInEnvironment, path: str | Path | None) -> RecordedObservations | None:
    return None if path is None else RecordedObservations.load(Path(path), subject.policy.observation_space)


def claim(store: Store, subject: AgentInEnvironment) -> None:
    """Remember whose results these are: an agent's results lie in a folder of their own.

    Raises:
        StudyInputError: the folder holds those of another agent, or of a study.
    """
    row = agent_row(subject)
    study = store.note(SPEC_KEY)
    others = [known for known in store.agents() if known.sha256 != row.sha256]
    if study is not None or others:
        found = f"the study {study}" if study is not None else ", ".join(dict.fromkeys(f"{a.source}" for a in others))
        raise StudyInputError(
            "The folder holds the results of another agent." if study is None else "The folder holds a study.",
            got=f"{store.path}: {found}",
            expected=f"results of the network in {row.source}, read as it is read now, or a new folder",
            hint="Choose another folder with -o.",
        )
    store.add_agent(row)


def agent_row(subject: AgentInEnvironment) -> AgentRow:
    """What the store says of the agent."""
    origin = subject.policy.origin
    return AgentRow(
        sha256=fingerprint(subject.policy),
        source=subject.source,
        algorithm=origin.algorithm,
        environment=subject.environment,
        library_version=subject.library_version,
        training=origin.training,
        notices=(*subject.notices, *origin.assumptions),
    )


def _cells(
    subject: AgentInEnvironment,
    recipes: Sequence[Recipe],
    protocol: EvaluationProtocol,
    seed: int,
    recorded: RecordedObservations | None,
) -> dict[str, Cell]:
    """The random policy (where there is an environment), the baseline, and the recipes, each once."""
    identity = fingerprint(subject.policy)
    counts = counts_for(subject.policy.observation_space)
    inputs: dict[str, object] = {"seed": seed, "calibration": counts.calibration}
    if recorded is not None:
        inputs["observations"] = _hash(recorded)
    cells: dict[str, Cell] = {}
    if recorded is None:
        cells["random"] = Cell("random", replace(protocol, runtime=""), subject.environment)
    environment = subject.environment if recorded is None else None
    for recipe in [Recipe(), *recipes]:
        cells.setdefault(recipe.text, pressed_cell(identity, recipe, protocol, environment, inputs))
    return cells


def pressed_cell(
    identity: str,
    recipe: Recipe,
    protocol: EvaluationProtocol,
    environment: EnvironmentSpec | None,
    inputs: Mapping[str, object],
) -> Cell:
    """The cell of ``recipe`` on the agent ``identity``; the empty recipe is the baseline."""
    return Cell(
        "variant" if recipe.steps else "baseline",
        protocol,
        environment,
        identity,
        recipe.text,
        recipe.hash,
        recipe.to_json(),
        recipe.versions,
        inputs,
    )


def _hash(recorded: RecordedObservations) -> str:
    digest = hashlib.sha256()
    batch = recorded.batch if isinstance(recorded.batch, dict) else {"": recorded.batch}
    for key, values in sorted(batch.items()):
        digest.update(f"{key}:{values.dtype}:{values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
