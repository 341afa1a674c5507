"""Which episodes of a store are asked for, and the returns that somebody tells of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from policypress.engine.store.reader import StoreReader
from policypress.measurement.certificate.episode_files import read_episodes_by
from policypress.measurement.certificate.fall_rule import FallRule
from policypress.records import EpisodeRecord
from policypress.search.elsewhere.settings import ELSEWHERE
from policypress.search.session import BUILD, RANDOM
from policypress_runtime.errors import EpisodeFileError
from policypress_runtime.foreign_text import plain_lines

ARTIFACT, TERMINATED = "artifact", "terminated"
"""Columns of the table, beside seed and return."""
# A path in the store has so many parts: the folder of artifacts, a cell's, a file.
_PARTS = 3
_SHOWN = 200


@dataclass(frozen=True)
class PlayedEpisode:
    """What came out of one episode that was asked for.

    Args:
        artifact: what acted, as it was asked for: a path, or ``random``.
        seed: that was asked for.
        episode_return: the undiscounted sum of rewards.
        terminated: whether it ended by a fall or the like, and not by a limit of time; None where nobody looked.
    """

    artifact: str
    seed: int
    episode_return: float
    terminated: bool | None = None


@dataclass(frozen=True)
class Told:
    """What became of returns that were told: new ones, those that were known already, and those still asked for."""

    new: int
    known: int
    missing: int


@dataclass
class Asked:
    """The episodes of a store: those that are asked for (where from → cell), and the returns of the others."""

    open: dict[tuple[str, int], str] = field(default_factory=dict)
    known: dict[tuple[str, int], float] = field(default_factory=dict)


def artifact_names(store: StoreReader) -> dict[str, str]:
    """Recipe → path of its artifact in the folder of the store, by which it is asked for."""
    built = [row for row in store.cells() if row.cell.protocol.purpose == BUILD]
    records = ((row.cell.recipe, store.artifact(row.key)) for row in built)
    return {recipe: record.path for recipe, record in records if record is not None}


def asked_in(store: StoreReader) -> Asked:
    """Every episode of ``store`` that is, or was, asked for."""
    names, found = artifact_names(store), Asked()
    for row in store.cells():
        cell = row.cell
        name = RANDOM if cell.kind == "random" else names.get(cell.recipe)
        if name is None or cell.environment is None or cell.environment.id != ELSEWHERE.id:
            continue
        returns = {episode.seed: episode.episode_return for episode in store.episodes(row.key)}
        found.known |= {(name, seed): value for seed, value in returns.items()}
        if row.status != "failed":
            found.open |= {(name, seed): row.key for seed in cell.seeds() if seed not in returns}
    return found


def read_returns(path: str | Path) -> list[PlayedEpisode]:
    """Rows of the table that were filled in: the columns artifact, seed and return, and terminated if it is there.

    Raises:
        EpisodeFileError: it cannot be read, has no such columns, or a return is no finite number.
    """
    file = Path(path)
    if file.suffix.lower() in (".npz", ".npy"):
        raise EpisodeFileError(
            f"{file.name} is no table.", got=file.suffix, expected="a CSV file: artifact, seed, return"
        )
    told = []
    for name, episodes in read_episodes_by(file, ARTIFACT).items():
        if episodes.seeds is None:
            raise EpisodeFileError(
                f"{file.name} does not say which episodes these are.",
                got=f"no column seed beside {ARTIFACT} and return",
                expected="the seeds that were asked for",
                hint="Fill in the return of each row of the table. Where the simulator takes no seed, it is a number.",
            )
        marks = episodes.flags.get(TERMINATED, (None,) * len(episodes.returns))
        rows = zip(episodes.seeds, episodes.returns, marks, strict=True)
        told += [PlayedEpisode(name, seed, value, mark) for seed, value, mark in rows]
    return told


def sorted_out(
    told: Iterable[PlayedEpisode], asked: Asked, rule: FallRule | None
) -> tuple[dict[str, list[EpisodeRecord]], int]:
    """The new episodes, by cell, and how many others were known.

    Raises:
        EpisodeFileError: an episode that was not asked for, was told before with another return, has no finite return,
            or does not say whether it was terminated where that is a fall.
    """
    new: dict[str, dict[int, EpisodeRecord]] = {}
    known = 0
    for episode in told:
        where = ("/".join(PurePath(episode.artifact).parts[-_PARTS:]), episode.seed)
        what = f"{plain_lines(episode.artifact)[:_SHOWN]}, seed {episode.seed}"
        key = asked.open.get(where)
        before = new.get(key, {}).get(episode.seed) if key is not None else None
        value = asked.known.get(where) if before is None else before.episode_return
        if value is not None:
            if value != episode.episode_return:
                raise EpisodeFileError(
                    "An episode was told twice, with different returns.",
                    got=f"{what}: {value} and {episode.episode_return}",
                    expected="one return for each episode",
                    hint="What was told first counts, and cannot be taken back. Leave the row out.",
                )
            known += 1
            continue
        if key is None:
            raise _unasked(what, asked)
        new.setdefault(key, {})[episode.seed] = _record(episode, what, rule)
    return {key: list(rows.values()) for key, rows in new.items()}, known


def _record(episode: PlayedEpisode, what: str, rule: FallRule | None) -> EpisodeRecord:
    if not math.isfinite(episode.episode_return):
        raise EpisodeFileError(
            "A return is not finite.",
            got=f"{episode.episode_return} of {what}",
            expected="a finite number for every episode",
            hint="Give the return that such a failure counts as.",
        )
    if episode.terminated is None and rule is not None and rule.kind == TERMINATED:
        raise EpisodeFileError(
            "What is a fall depends on how an episode ended.",
            got=f"{what}, without it",
            expected="a column terminated, 1 or 0, in every row",
            hint="1 where the episode ended by itself (a fall), 0 where the time was over.",
        )
    ending = "terminated" if episode.terminated else "truncated"
    # How long it took, and for how many steps, nobody was asked.
    return EpisodeRecord(episode.seed, float(episode.episode_return), 0, ending, 0.0)  # type: ignore[arg-type]


def _unasked(what: str, asked: Asked) -> EpisodeFileError:
    names = sorted({name for name, _ in asked.open})
    return EpisodeFileError(
        "An episode was told that nobody asked for.",
        got=what,
        expected=f"an episode of {', '.join(names)[:_SHOWN]}" if names else "nothing: no episode is asked for",
        hint="policypress search ask DIR writes the table of the episodes that are asked for.",
    )
