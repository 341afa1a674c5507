"""Ask and tell: the search of ``compress``, with episodes that somebody else plays.

The folder holds all of it. ``ask`` does what can be done here (building, choosing, certifying from the returns that are
known) until episodes are missing, and says which. ``tell`` takes returns into the store, whole or not at all. Each may
be done by another process, on another day; one that is killed loses nothing that was told.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from policypress.engine.cells.builder import CellBuilder
from policypress.engine.events import EventHandler, ignore
from policypress.engine.executors.asking_executor import AskingExecutor
from policypress.engine.executors.choice import ExecutorName, executor_of
from policypress.engine.store.reader import STORE_NAME
from policypress.engine.store.store import Store
from policypress.engine.tasks.calibration import Calibration, counts_for
from policypress.measurement.agent_in_environment import AgentInEnvironment
from policypress.records import EpisodeRecord, EvaluationProtocol
from policypress.search.claim import claimed_builder
from policypress.search.compress import criterion_of, result_of, search_of
from policypress.search.elsewhere.returns import (
    ARTIFACT,
    TERMINATED,
    PlayedEpisode,
    Told,
    artifact_names,
    asked_in,
    read_returns,
    sorted_out,
)
from policypress.search.elsewhere.settings import ELSEWHERE, NOTE, AskOptions, Settings, settings_in, settings_of
from policypress.search.found.compressed import Compressed
from policypress.search.objective import Objective
from policypress.search.session import RANDOM, Session
from policypress.search.time_budget import TimeBudget
from policypress_runtime.atomic_write import write_atomic
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import StudyInputError

TABLE = "play.csv"
"""Name of the table of episodes in the folder of a search."""
# Waiting is not searching: time stands still, and what a search does depends on returns alone.
_UNHURRIED_S = 1e12
# Every look at a certificate is a round for somebody: there are few.
_LOOK_EVERY = 0.35


@dataclass(frozen=True)
class Play:
    """Episodes that are asked for: of ``artifact``, a path in the search's folder (or ``random``), one per seed."""

    artifact: str
    recipe: str
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Round:
    """Where a search stands: it asks for ``plays``, which ``table`` lists; or it is over, and ``found`` is its end."""

    plays: tuple[Play, ...]
    table: Path | None
    found: Compressed | None

    @property
    def over(self) -> bool:
        """Whether nothing is asked for any more."""
        return self.found is not None


class Search:
    """The search for the smallest policy that keeps the return, whose episodes are played elsewhere.

    >>> search = Search.start("agent.zip", "out", observations="logged.npz", keep=0.9)  # doctest: +SKIP
    >>> while not (now := search.ask()).over:  # doctest: +SKIP
    ...     search.tell(PlayedEpisode(p.artifact, seed, play(p.artifact, seed)) for p in now.plays for seed in p.seeds)

    Args:
        folder: of a search that was started.
        executor: ``local`` (processes build) or ``debug`` (this one does).
        jobs: number of processes; by default one per core.
        on_event: called with every event of building and choosing.

    Raises:
        StudyInputError: no search was started there.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        executor: ExecutorName = "local",
        jobs: int | None = None,
        on_event: EventHandler = ignore,
    ) -> None:
        self.folder = Path(folder)
        self._executor, self._jobs = executor, jobs
        self._on_event = on_event
        if not (self.folder / STORE_NAME).is_file():
            raise StudyInputError(
                "There is no search in this folder.",
                got=str(folder),
                expected="the folder of policypress search start",
                hint="Start one: policypress search start AGENT --observations logged.npz -o DIR",
            )

    @staticmethod
    def start(
        agent: str | Path,
        folder: str | Path,
        *,
        observations: str | Path,
        options: AskOptions | None = None,
        env: EnvironmentSpec | str | None = None,
        stated: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Search:
        """Start a search in ``folder``; the same call again changes nothing.

        Args:
            agent: path or Hub id; it is read again in every process, and has to stay as it is.
            folder: of the store, the artifacts, the table and, in the end, the report.
            observations: recorded ones (``.npz``), that artifacts are calibrated and compared on; likewise.
            options: what is looked for.
            env: environment whose spaces the agent has, where its file leaves them open.
            stated: facts of the agent, by the names of their options.
            changes: fields of :class:`AskOptions`, in place of those of ``options``.

        Raises:
            InputError: something cannot be read, or another search was started there.
        """
        asked = replace(options or AskOptions(), **changes)
        settings = settings_of(agent, observations, asked, env, stated or {})
        subject, _ = settings.read()
        place = Path(folder)
        with Store(place / STORE_NAME) as store:
            _builder(store, settings, subject)
            before = store.note(NOTE)
            if before not in (None, settings.to_text()):
                raise StudyInputError(
                    "Another search was started in this folder.",
                    got=str(folder),
                    expected="the options that it began with, or a new folder",
                    hint="Go on with it (policypress search ask DIR), or choose another folder with -o.",
                )
            store.set_note(NOTE, settings.to_text())
        return Search(place)

    def ask(self) -> Round:
        """Go on until episodes are missing, and write the table of them; or to the end.

        Raises:
            InputError: the agent or the observations are not what the search began with.
            KeyboardInterrupt: it was interrupted; what is complete is in the store.
        """
        with Store(self.folder / STORE_NAME) as store:
            settings = settings_in(store)
            subject, recorded = settings.read()
            calibration = Calibration(subject, settings.options.seed, recorded)
            builder = replace(_builder(store, settings, subject), environment=ELSEWHERE)
            # A candidate of the race is two tasks; see the strategy.
            width = 2 * settings.options.at_once
            with executor_of(self._executor, self._jobs) as inner, AskingExecutor(inner, width) as executor:
                while True:
                    found = _searched(Session(calibration, builder, store, executor, self._on_event), settings)
                    if not executor.asked:
                        break
                    if not _answered(settings, store, executor):
                        return _asks(settings, store, executor)
        if found.outcome.interrupted:
            raise KeyboardInterrupt
        (self.folder / TABLE).unlink(missing_ok=True)
        return Round((), None, found)

    def tell(self, played: Iterable[PlayedEpisode]) -> Told:
        """Take returns of episodes that were asked for, in any order and in as many parts as they come.

        Raises:
            EpisodeFileError: one of them cannot be taken; then none is.
        """
        with Store(self.folder / STORE_NAME) as store:
            settings, asked = settings_in(store), asked_in(store)
            new, known = sorted_out(played, asked, settings.options.goal.fall_rule)
            store.record_told(new)
            count = sum(len(rows) for rows in new.values())
            return Told(count, known, len(asked.open) - count)

    def tell_file(self, path: str | Path) -> Told:
        """:meth:`tell` what a table says: columns artifact, seed, return; rows without a return were not played yet."""
        return self.tell(read_returns(path))


def _builder(store: Store, settings: Settings, subject: AgentInEnvironment) -> CellBuilder:
    """What makes the agent's cells; the store is its own from now on."""
    count = counts_for(subject.policy.observation_space).calibration
    protocol = EvaluationProtocol(episodes=0, seed=settings.options.seed, masked=subject.masked)
    return claimed_builder(store, subject, protocol, count, settings.observed)


def _answered(settings: Settings, store: Store, executor: AskingExecutor) -> bool:
    """Whether random actions were asked for whose return is stated: then nobody has to play them."""
    stated = settings.options.random_return
    rows: dict[str, list[EpisodeRecord]] = {}
    for task, payload in executor.asked if stated is not None else ():
        if payload.model is None:
            episodes = (EpisodeRecord(seed, stated or 0.0, 0, "truncated", 0.0) for seed in payload.seeds)
            rows.setdefault(_cell_of(task), []).extend(episodes)
    store.record_told(rows)
    return bool(rows)


def _asks(settings: Settings, store: Store, executor: AskingExecutor) -> Round:
    """What is asked for, and the table of it, which is written."""
    names = artifact_names(store)
    plays: dict[tuple[str, str], list[int]] = {}
    for task, payload in executor.asked:
        row = store.cell(_cell_of(task))
        recipe = RANDOM if payload.model is None or row is None else row.cell.recipe
        plays.setdefault((names.get(recipe, RANDOM), recipe), []).extend(payload.seeds)
    asked = tuple(Play(name, recipe, tuple(seeds)) for (name, recipe), seeds in plays.items())
    rule = settings.options.goal.fall_rule
    more = [TERMINATED] if rule is not None and rule.kind == TERMINATED else []
    rows = [[ARTIFACT, "seed", "return", *more]]
    rows += [[play.artifact, str(seed), "", *("" for _ in more)] for play in asked for seed in play.seeds]
    table = store.folder / TABLE
    write_atomic(table, "".join(",".join(row) + "\n" for row in rows).encode())
    return Round(asked, table, None)


def _cell_of(task: str) -> str:
    """Key of the cell that a task, by its own key, belongs to."""
    return task.partition("/")[0]


def _searched(session: Session, settings: Settings) -> Compressed:
    """The search as far as the returns in the store take it."""
    options, began_s = settings.options, time.monotonic()
    budget = TimeBudget(_UNHURRIED_S, costs=False, clock=lambda: 0.0)
    objective = Objective(options.goal.minimize, session.store.folder, seed=options.seed)
    criterion = criterion_of(options.goal, look_every=_LOOK_EVERY)
    history = search_of(session, options.goal, objective, criterion, budget).run()
    history = replace(history, budget_s=0.0, elapsed_s=time.monotonic() - began_s)
    return result_of(session, history, session.subject.notices, None)
