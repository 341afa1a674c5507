"""What ``compress`` gives back: the winner, its certificate, the artifacts, and a table of all that was tried."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from policypress.engine.outcome import RunOutcome
from policypress.engine.store.reader import StoreReader
from policypress.measurement.certificate.certifying import Certificate
from policypress.measurement.statistics import Missing, retention
from policypress.search.history import SearchHistory
from policypress.search.objective import BASELINE
from policypress.search.robustness import Robustness
from policypress.search.session import RANDOM
from policypress_runtime.errors import MissingDependencyError

_MOST_ROWS = 40
_PERCENT = {"action_error", "retention", "retention_lower", "retention_upper"}


@dataclass(frozen=True)
class Compressed:
    """What ``compress`` did: where the store is, how each cell ended, what was tried, and what won.

    ``cells`` maps ``random``, ``none`` and every recipe to the key of its first cell in the store; ``groups`` to all of
    its cells that it was chosen by. ``history`` is the search's, None where recipes were given; ``robustness`` is there
    where it was asked for. In a notebook it shows itself as a table.
    """

    store: Path
    cells: dict[str, str]
    outcome: RunOutcome
    notices: tuple[str, ...]
    history: SearchHistory | None
    groups: dict[str, tuple[str, ...]]
    robustness: Robustness | None = None

    @property
    def winner(self) -> str | None:
        """The recipe that was certified.

        None where nothing was, and where recipes were given: nothing is certified then, :meth:`to_frame` says what
        each of them keeps.
        """
        return None if self.history is None else self.history.winner

    @property
    def certificate(self) -> Certificate | None:
        """The winner's certificate."""
        return None if self.history is None else self.history.certificate

    @property
    def artifacts(self) -> dict[str, Path]:
        """Recipe → its ONNX file, proven equal to the policy; ``none`` is the fp32 policy.

        ``load_artifact(found.artifacts[found.winner])`` acts with the winner.
        """
        with StoreReader(self.store) as store:
            records = {name: store.artifact(key) for name, key in self.cells.items()}
            return {name: store.folder / record.path for name, record in records.items() if record is not None}

    def rows(self) -> list[dict[str, Any]]:
        """One row for the agent (``none``) and each recipe, the smallest last.

        Keys are ``recipe``, ``stage`` (how far a search came with it), ``packed_bytes``, ``times_smaller``,
        ``action_error``, ``episodes``, ``mean_return``, ``retention`` with the ends of its 95 % interval, and
        ``artifact``. Shares are numbers, 1 for all. What is not known is None.
        """
        with StoreReader(self.store) as store:
            returns = {
                name: [row.episode_return for key in keys for row in store.episodes(key)]
                for name, keys in self.groups.items()
            }
            records = {name: store.artifact(key) for name, key in self.cells.items()}
            folder = store.folder
        base = records.get(BASELINE)
        baseline, random = returns.get(BASELINE, []), returns.get(RANDOM, [])
        rows: list[dict[str, Any]] = []
        for name, record in records.items():
            if name == RANDOM:
                continue
            played = returns.get(name, [])
            kept = Missing("the agent itself") if name == BASELINE else retention(baseline, played, random)
            tried = None if self.history is None else self.history.tried_of(name)
            packed = None if record is None else record.packed_bytes
            rows.append(
                {
                    "recipe": name,
                    "stage": None if tried is None else tried.stage,
                    "packed_bytes": packed,
                    "times_smaller": None if packed is None or base is None else base.packed_bytes / packed,
                    "action_error": None if record is None else record.action_error,
                    "episodes": len(played),
                    "mean_return": sum(played) / len(played) if played else None,
                    "retention": None if isinstance(kept, Missing) else kept.estimate,
                    "retention_lower": None if isinstance(kept, Missing) else kept.lower,
                    "retention_upper": None if isinstance(kept, Missing) else kept.upper,
                    "artifact": None if record is None else str(folder / record.path),
                }
            )
        return sorted(rows, key=lambda row: -(row["packed_bytes"] or 0))

    def to_frame(self) -> Any:
        """:meth:`rows` as a ``pandas.DataFrame``.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        try:
            pandas: Any = import_module("pandas")
        except ImportError as error:
            raise MissingDependencyError(
                "A table of pandas needs pandas, which is not installed.",
                expected="pandas",
                hint="pip install pandas, or take rows(), which needs nothing.",
            ) from error
        return pandas.DataFrame(self.rows())

    def __repr__(self) -> str:
        if self.history is None:
            said = f"{len(self.artifacts)} artifacts, nothing certified: recipes were given"
        elif self.winner is None:
            said = self.history.summary
        else:
            said = f"winner {self.winner!r}, certified to keep {self.history.keep:g} of the return"
        return f"<Compressed: {said}; {self.store}>"

    def _repr_html_(self) -> str:
        """The table, for a notebook."""
        rows = self.rows()
        shown = [name for name in (rows[0] if rows else {}) if name not in ("artifact", "retention_lower")]
        shown = [name for name in shown if name != "retention_upper" and any(row[name] is not None for row in rows)]
        head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in shown)
        body = "".join(
            f"<tr{_BOLD if row['recipe'] == self.winner else ''}>"
            + "".join(f"<td>{escape(_in_words(name, row))}</td>" for name in shown)
            + "</tr>"
            for row in rows[-_MOST_ROWS:]
        )
        left = f"<p>and {len(rows) - _MOST_ROWS} larger ones</p>" if len(rows) > _MOST_ROWS else ""
        return f"<p>{escape(repr(self).strip('<>'))}</p><table><tr>{head}</tr>{body}</table>{left}"


_BOLD = ' style="font-weight:bold"'


def _in_words(name: str, row: dict[str, Any]) -> str:
    """A cell of the table."""
    value = row[name]
    if value is None:
        return "–"
    if name == "retention":
        return f"{value:.1%} [{row['retention_lower']:.1%}, {row['retention_upper']:.1%}]"
    if name in _PERCENT:
        return f"{value:.2%}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
