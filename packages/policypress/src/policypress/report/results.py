"""``results.json``: all results of one agent, as one object. ``docs/results.md`` describes it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import policypress
from policypress.engine.store.reader import AgentRow, StoreReader
from policypress.measurement.statistics import Interval, Missing, mean_return
from policypress.records import EvaluationProtocol
from policypress.report.recipe_results import BASELINE, RANDOM, RecipeResult, read_rows
from policypress.search.history import SearchHistory
from policypress.search.robustness import Robustness
from policypress_runtime.contract import EnvironmentSpec, Quantity
from policypress_runtime.errors import StoreError

SCHEMA = 2
KEEP = 0.95
WINNER_RULE = (
    f"fewest packed bytes among the recipes that are smaller than the baseline and whose retention's lower bound "
    f"is at least {KEEP}; measured on the same episodes for all, not certified on new ones"
)
SEARCH_RULE = (
    "the recipe of the search that was certified: the smallest that seemed to keep enough on the episodes that it was "
    "chosen by, then proven on fresh ones"
)
_FURTHEST = ("certified", "not certified", "promising", "raced", "built", "failed")


@dataclass(frozen=True)
class Results:
    """One agent, its recipes, and how they were measured.

    ``rows`` are in the order in which they were asked for; ``machine`` is where costs were measured, or else where
    the report was made; ``finished_at`` is when the last cell changed (ISO 8601, UTC). ``search`` is how the recipes
    were found, where nobody asked for them; then ``rows`` begin with those that came furthest.
    """

    agent: AgentRow | None
    environment: EnvironmentSpec | None
    protocol: EvaluationProtocol
    machine: Mapping[str, Any]
    rows: tuple[RecipeResult, ...]
    finished_at: str
    search: SearchHistory | None = None
    robustness: Robustness | None = None

    def row(self, name: str) -> RecipeResult | None:
        """The row of the recipe ``name``."""
        return next((row for row in self.rows if row.name == name), None)

    @property
    def baseline(self) -> RecipeResult:
        """The row of the fp32 policy."""
        return next(row for row in self.rows if row.name == BASELINE)

    @property
    def variants(self) -> tuple[RecipeResult, ...]:
        """The rows of the recipes that change something."""
        return tuple(row for row in self.rows if row.name not in (RANDOM, BASELINE))

    @property
    def complete(self) -> bool:
        """Whether every cell is done or has failed, and the search came to its end."""
        if self.search is not None and self.search.ending == "interrupted":
            return False
        return all(row.status in ("done", "failed") for row in self.rows)

    @property
    def winner(self) -> RecipeResult | None:
        """The recipe that was certified, or without a search the one that :data:`WINNER_RULE` chooses, if any."""
        if self.search is not None:
            return None if self.search.winner is None else self.row(self.search.winner)
        base = self.baseline.artifact
        able = [
            (row.artifact.packed_bytes, -row.retention.lower, index)
            for index, row in enumerate(self.variants)
            if row.status == "done"
            and row.artifact is not None
            and isinstance(row.retention, Interval)
            and row.retention.lower >= KEEP
            and (base is None or row.artifact.packed_bytes < base.packed_bytes)
        ]
        return self.variants[min(able)[-1]] if able else None

    @property
    def shown(self) -> tuple[RecipeResult, ...]:
        """The rows worth a line: of a search those that played, and the baseline."""
        if self.search is None:
            return self.rows
        return tuple(row for row in self.rows if row.returns or row.name == BASELINE)

    def deployed_mean(self, row: RecipeResult) -> Quantity | Missing:
        """The mean return that an artifact's sidecar states: on the episodes of its certificate, if it has one."""
        won = None if self.search is None else self.search.won
        return mean_return(won.returns) if won is not None and won.recipe == row.name else row.mean

    def to_json(self) -> dict[str, Any]:
        """The object of ``results.json``."""
        winner, random = self.winner, self.row(RANDOM)
        data: dict[str, Any] = {
            "schema": SCHEMA,
            "policypress": policypress.__version__,
            "finished_at": self.finished_at,
            "complete": self.complete,
            "agent": None if self.agent is None else _agent_json(self.agent),
            "environment": None if self.environment is None else self.environment.to_json(),
            "machine": dict(self.machine),
            "protocol": {**self.protocol.to_json(), "actions": "deterministic", "seeds": list(self.baseline.seeds)},
            "random": None if random is None else _random_json(random),
            "baseline": self.baseline.to_json(),
            "variants": [row.to_json() for row in self.variants],
            "winner": None if winner is None else winner.name,
            "winner_rule": WINNER_RULE if self.search is None else SEARCH_RULE,
            "search": None if self.search is None else self.search.to_json(),
            "robustness": None if self.robustness is None else self.robustness.to_json(),
        }
        return data

    def to_text(self) -> str:
        """The content of ``results.json``."""
        return json.dumps(self.to_json(), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def read_results(
    store: StoreReader,
    cells: Mapping[str, str | Sequence[str]],
    machine: Mapping[str, Any],
    search: SearchHistory | None = None,
    robustness: Robustness | None = None,
) -> Results:
    """What the store says of ``cells`` (name → key, or several keys), of which one is the baseline.

    Args:
        store: the results.
        cells: ``random`` and the recipes, as ``compress`` returns them.
        machine: the one that this runs on; one that costs were measured on takes its place.
        search: how the recipes were found.
        robustness: what disturbances do to them.

    Raises:
        StoreError: none of the cells that the store has is a baseline.
    """
    if search is not None:
        cells = {name: cells[name] for name in _by_distance(cells, search)}
    rows = read_rows(store, cells, None if search is None else {tried.recipe: tried for tried in search.tried})
    keys = [key for group in cells.values() for key in ((group,) if isinstance(group, str) else group)]
    found = [row for row in (store.cell(key) for key in keys) if row is not None]
    base = next((row for row in found if row.cell.kind == "baseline"), None)
    if base is None:
        raise StoreError("The store has no baseline to compare with.", got=str(store.path), expected="a planned study")
    measured = [row.costs.machine for row in rows if row.costs.machine is not None]
    protocol = base.cell.protocol
    if search is not None:
        played = next(len(row.returns) for row in rows if row.name == BASELINE)
        protocol = replace(protocol, purpose="search", episodes=played)
    return Results(
        agent=next((agent for agent in store.agents() if agent.sha256 == base.cell.agent_sha256), None),
        environment=base.cell.environment,
        protocol=protocol,
        machine=measured[-1] if measured else machine,
        rows=rows,
        finished_at=max(row.updated_at for row in found),
        search=search,
        robustness=robustness,
    )


def _by_distance(cells: Mapping[str, object], search: SearchHistory) -> list[str]:
    """Names of the cells: the references, then those that came furthest in the search, the smallest first."""

    def place(name: str) -> tuple[int, float]:
        tried = search.tried_of(name)
        if tried is None:
            return -1, 0.0
        raced = tried.stage not in ("built", "failed")
        return (0 if raced else _FURTHEST.index(tried.stage)), (math.inf if tried.value is None else tried.value)

    return sorted(cells, key=place)


def _agent_json(agent: AgentRow) -> dict[str, Any]:
    return {
        "source": agent.source,
        "sha256": agent.sha256,
        "algorithm": agent.algorithm,
        "library_version": agent.library_version,
        "environment": None if agent.environment is None else agent.environment.to_json(),
        "notices": list(agent.notices),
    }


def _random_json(row: RecipeResult) -> dict[str, Any]:
    mean = row.mean
    return {
        "status": row.status,
        "returns": list(row.returns),
        "mean_return": None if isinstance(mean, Missing) else vars(mean),
    }
