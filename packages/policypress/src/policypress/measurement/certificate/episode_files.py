"""Episodes from files: CSV, ``.npz``, and the files of Stable-Baselines3's ``Monitor`` (``monitor.csv`` of the RL Zoo).

The files come from anywhere, and nothing of them is executed. A file has one row for each episode: its return, the
seed where it is known, and columns that say true or false of the episode (it fell, it was terminated).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from policypress.agents.array_file import read_arrays
from policypress_runtime.errors import DamagedAgentError, EpisodeFileError
from policypress_runtime.foreign_text import LIMIT, plain_lines
from policypress_runtime.regular_file import read_regular

RETURN_NAMES = ("return", "returns", "episode_return", "r", "reward", "rewards", "score")
SEED_NAMES = ("seed", "seeds")
MAX_BYTES = 32 * 1024**2
MAX_EPISODES = 100_000
_MOST_COLUMNS = 256
_TRUE, _FALSE = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")
_MAX_SEED = 2**63 - 1
_SHOWN = 60


@dataclass(frozen=True)
class Episodes:
    """Returns of one policy in the order they were played, with their seeds and what else is true of them.

    ``flags`` maps a column's name to whether it holds of each episode.
    """

    returns: tuple[float, ...]
    seeds: tuple[int, ...] | None = None
    flags: dict[str, tuple[bool, ...]] = field(default_factory=dict)
    source: str = "the episodes"

    def __post_init__(self) -> None:
        if not self.returns:
            raise EpisodeFileError(
                f"{self.source} holds no episodes.", got="nothing", expected="a row for each episode"
            )
        if len(self.returns) > MAX_EPISODES:
            raise EpisodeFileError(
                f"{self.source} holds too many episodes.",
                got=str(len(self.returns)),
                expected=f"at most {MAX_EPISODES}",
                hint="Give the first of them: a certificate needs hundreds, seldom thousands.",
            )
        for index, value in enumerate(self.returns):
            if not math.isfinite(value):
                raise EpisodeFileError(
                    f"{self.source}: a return is not finite.",
                    got=f"{value} in episode {index + 1}",
                    expected="a finite number for every episode",
                    hint="Do not leave the episode out: give the return that such a failure counts as.",
                )
        self._check_seeds()

    def _check_seeds(self) -> None:
        if self.seeds is None:
            return
        if len(self.seeds) != len(self.returns):
            raise EpisodeFileError(
                f"{self.source}: not every episode has a seed.",
                got=f"{len(self.returns)} returns and {len(self.seeds)} seeds",
                expected="as many of both",
            )
        known: set[int] = set()
        for seed in self.seeds:
            if seed in known:
                raise EpisodeFileError(
                    f"{self.source}: a seed stands there twice.",
                    got=f"seed {seed} again",
                    expected="another seed for every episode",
                    hint="Episodes on one seed are one episode: keep the first of each.",
                )
            known.add(seed)

    def first(self, count: int) -> Episodes:
        """The first ``count`` episodes."""
        return self.at(range(min(count, len(self.returns))))

    def at(self, index: Sequence[int]) -> Episodes:
        """The episodes at ``index``, in that order."""
        seeds = None if self.seeds is None else tuple(self.seeds[i] for i in index)
        flags = {name: tuple(values[i] for i in index) for name, values in self.flags.items()}
        return Episodes(tuple(self.returns[i] for i in index), seeds, flags, self.source)


def read_episodes(path: str | Path) -> Episodes:
    """Episodes of a ``.csv`` or ``.npz`` file.

    Raises:
        EpisodeFileError: it cannot be read, is too large, or does not hold episodes.
    """
    file = Path(path)
    if file.suffix.lower() in (".npz", ".npy"):
        return _from_arrays(file)
    return _episodes_of(_columns_of(_text_of(file), file), file, file.name)


def read_episodes_by(path: str | Path, column: str) -> dict[str, Episodes]:
    """Episodes of several policies in one ``.csv`` file: what ``column`` says of them → the episodes.

    A row without a return is one that was not played, and is left out; a policy without any other row, too.

    Raises:
        EpisodeFileError: as :func:`read_episodes`; or the file has no such column.
    """
    file = Path(path)
    columns = _columns_of(_text_of(file), file)
    if column not in columns:
        raise EpisodeFileError(
            f"{file.name} has no column {column!r}.",
            got=_shown(", ".join(columns)),
            expected=f"the columns {column}, seed and return",
        )
    returns = columns[_return_name(columns, file)]
    rows: dict[str, list[int]] = {}
    for index, name in enumerate(columns[column]):
        if returns[index]:
            rows.setdefault(name, []).append(index)
    found = {}
    for name, own in rows.items():
        part = {key: [cells[index] for index in own] for key, cells in columns.items() if key != column}
        found[name] = _episodes_of(part, file, f"{file.name}, {_shown(name)}")
    return found


def _text_of(file: Path) -> str:
    content = read_regular(file, limit_bytes=MAX_BYTES, error=EpisodeFileError)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        raise _unreadable(file, "bytes that are no text") from failure
    if "\0" in text:
        raise _unreadable(file, "bytes that are no text")
    return text


def _columns_of(text: str, file: Path) -> dict[str, list[str]]:
    """Columns of a CSV file by name; a line that begins with # is a comment (``Monitor`` puts JSON into the first)."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise EpisodeFileError(
            f"{file.name} holds no episodes.", got="an empty file", expected="a row for each episode"
        )
    if len(lines) > MAX_EPISODES + 1:
        raise EpisodeFileError(
            f"{file.name} holds too many episodes.",
            got=f"{len(lines)} rows",
            expected=f"at most {MAX_EPISODES}",
            hint="Give the first of them: a certificate needs hundreds, seldom thousands.",
        )
    try:
        delimiter = next((mark for mark in ",;\t" if mark in lines[0]), ",")
        rows = [
            [cell.strip() for cell in row] for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter)
        ]
    except csv.Error as failure:
        raise _unreadable(file, str(failure)) from failure
    if len(rows[0]) == 1 and _is_number(rows[0][0]):
        rows.insert(0, [RETURN_NAMES[0]])
    names = [name.lower() for name in rows.pop(0)]
    if len(names) > _MOST_COLUMNS or len(set(names)) < len(names):
        raise _unreadable(file, "a header with too many columns, or with one name twice")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise EpisodeFileError(
                f"{file.name}: a row does not fit the header.",
                got=f"{len(row)} cells in row {number} of the episodes",
                expected=f"{len(names)}: {_shown(', '.join(names))}",
            )
    return {name: [row[index] for row in rows] for index, name in enumerate(names)}


def _episodes_of(columns: dict[str, list[str]], file: Path, source: str) -> Episodes:
    returns = [_number(cell, number, file) for number, cell in enumerate(columns[_return_name(columns, file)], start=1)]
    seeds = next((columns[name] for name in SEED_NAMES if name in columns), None)
    flags = {name: found for name, cells in columns.items() if (found := _flags(cells)) is not None}
    return Episodes(
        tuple(returns),
        None if seeds is None else tuple(_seed(cell, number, file) for number, cell in enumerate(seeds, start=1)),
        {name: found for name, found in flags.items() if name not in (*RETURN_NAMES, *SEED_NAMES)},
        source,
    )


def _from_arrays(file: Path) -> Episodes:
    try:
        arrays = {name.lower(): array for name, array in read_arrays(file, "returns", limit_bytes=MAX_BYTES).items()}
    except DamagedAgentError as failure:
        raise EpisodeFileError(
            failure.message, got=failure.got, expected=failure.expected, hint=failure.hint
        ) from failure
    except ValueError as failure:
        raise _unreadable(file, str(failure)) from failure
    array = arrays[_return_name(arrays, file)]
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise EpisodeFileError(
            f"{file.name}: the returns are no list of numbers.",
            got=f"an array of shape {array.shape} of {array.dtype}",
            expected="one number for each episode",
            hint="The evaluations of a training are of many policies: give the episodes of one.",
        )
    seeds = next((arrays[name] for name in SEED_NAMES if name in arrays), None)
    if seeds is not None and (seeds.ndim != 1 or seeds.dtype.kind not in "iu"):
        raise _not_whole(file, f"an array of shape {seeds.shape} of {seeds.dtype}")
    flags = {
        name: tuple(bool(value) for value in values)
        for name, values in arrays.items()
        if values.shape == array.shape and _is_flag(values) and name not in (*RETURN_NAMES, *SEED_NAMES)
    }
    returns = tuple(float(value) for value in array)
    return Episodes(returns, None if seeds is None else tuple(int(value) for value in seeds), flags, file.name)


def _is_flag(values: npt.NDArray[Any]) -> bool:
    return values.dtype.kind == "b" or (values.dtype.kind in "iuf" and bool(np.isin(values, (0, 1)).all()))


def _return_name(columns: dict[str, Any], file: Path) -> str:
    found = [name for name in RETURN_NAMES if name in columns]
    if not found:
        raise EpisodeFileError(
            f"{file.name} has no column of returns.",
            got=_shown(", ".join(columns)) or "nothing",
            expected=f"one of {', '.join(RETURN_NAMES)}",
            hint="Name the column with the episode's undiscounted sum of rewards 'return'.",
        )
    if len(found) > 1 and found[0] not in RETURN_NAMES[:3]:
        raise EpisodeFileError(
            f"{file.name} has several columns that may be the returns.",
            got=", ".join(found),
            expected="one of them",
            hint="Name the column with the episode's undiscounted sum of rewards 'return'.",
        )
    return found[0]


def _number(cell: str, row: int, file: Path) -> float:
    try:
        return float(cell)
    except ValueError:
        raise EpisodeFileError(
            f"{file.name}: a return is no number.",
            got=f"{_shown(cell) or 'an empty cell'} in episode {row}",
            expected="a finite number for every episode",
            hint="Do not leave the episode out: give the return that such a failure counts as.",
        ) from None


def _seed(cell: str, row: int, file: Path) -> int:
    try:
        value = int(cell) if len(cell) <= _SHOWN else _MAX_SEED + 1
    except ValueError:
        raise _not_whole(file, f"{_shown(cell) or 'an empty cell'} in episode {row}") from None
    if abs(value) > _MAX_SEED:
        raise _not_whole(file, f"{_shown(cell)} in episode {row}")
    return value


def _flags(cells: list[str]) -> tuple[bool, ...] | None:
    lowered = [cell.lower() for cell in cells]
    return tuple(cell in _TRUE for cell in lowered) if all(cell in (*_TRUE, *_FALSE) for cell in lowered) else None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _shown(text: str) -> str:
    shown = plain_lines(text, LIMIT)
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"


def _not_whole(file: Path, got: str) -> EpisodeFileError:
    return EpisodeFileError(f"{file.name}: a seed is no whole number.", got=got, expected="a whole number of 64 bits")


def _unreadable(file: Path, got: str) -> EpisodeFileError:
    return EpisodeFileError(
        f"{file.name} holds no episodes that can be read.",
        got=_shown(got),
        expected="a CSV file with a header and a row for each episode, a monitor.csv, or an .npz with 'returns'",
    )
