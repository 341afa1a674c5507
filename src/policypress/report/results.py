"""``results.json``: everything that was found out about one agent, as one object. ``docs/results.md`` describes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import policypress
from policypress.contract import EnvironmentSpec
from policypress.errors import StoreError
from policypress.measurement.statistics import Interval, Undefined
from policypress.records import EvaluationProtocol
from policypress.report.rows import BASELINE, RANDOM, Row, read_rows
from policypress.study.reader import AgentRow, StoreReader

SCHEMA = 1
KEEP = 0.95
WINNER_RULE = (
    f"fewest packed bytes among the recipes that are smaller than the baseline and whose retention's lower bound "
    f"is at least {KEEP}; measured on the same episodes for all, not certified on new ones"
)


@dataclass(frozen=True)
class Results:
    """One agent, its recipes, and how they were measured.

    ``rows`` are in the order in which they were asked for; ``machine`` is where costs were measured, or else where
    the report was made; ``finished_at`` is when the last cell changed (ISO 8601, UTC).
    """

    agent: AgentRow | None
    environment: EnvironmentSpec | None
    protocol: EvaluationProtocol
    machine: Mapping[str, Any]
    rows: tuple[Row, ...]
    finished_at: str

    def row(self, name: str) -> Row | None:
        """The row of the recipe ``name``."""
        return next((row for row in self.rows if row.name == name), None)

    @property
    def baseline(self) -> Row:
        """The row of the fp32 policy."""
        return next(row for row in self.rows if row.name == BASELINE)

    @property
    def variants(self) -> tuple[Row, ...]:
        """The rows of the recipes that change something."""
        return tuple(row for row in self.rows if row.name not in (RANDOM, BASELINE))

    @property
    def complete(self) -> bool:
        """Whether every cell is done or has failed."""
        return all(row.status in ("done", "failed") for row in self.rows)

    @property
    def winner(self) -> Row | None:
        """The recipe that :data:`WINNER_RULE` chooses, if any."""
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
            "protocol": {**self.protocol.to_json(), "actions": "deterministic", "seeds": sorted(self.protocol.seeds())},
            "random": None if random is None else _random_json(random),
            "baseline": self.baseline.to_json(),
            "variants": [row.to_json() for row in self.variants],
            "winner": None if winner is None else winner.name,
            "winner_rule": WINNER_RULE,
        }
        return data

    def to_text(self) -> str:
        """The content of ``results.json``."""
        return json.dumps(self.to_json(), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def read_results(store: StoreReader, cells: Mapping[str, str], machine: Mapping[str, Any]) -> Results:
    """What the store says of ``cells`` (name → key), of which one is the baseline.

    Args:
        store: the results.
        cells: ``random`` and the recipes, as ``compress`` returns them.
        machine: the one that this runs on; one that costs were measured on takes its place.

    Raises:
        StoreError: none of the cells that the store has is a baseline.
    """
    rows = read_rows(store, cells)
    found = [row for row in (store.cell(key) for key in cells.values()) if row is not None]
    base = next((row for row in found if row.cell.kind == "baseline"), None)
    if base is None:
        raise StoreError("The store has no baseline to compare with.", got=str(store.path), expected="a planned study")
    measured = [row.costs.machine for row in rows if row.costs.machine is not None]
    return Results(
        agent=next((agent for agent in store.agents() if agent.sha256 == base.cell.agent_sha256), None),
        environment=base.cell.environment,
        protocol=base.cell.protocol,
        machine=measured[-1] if measured else machine,
        rows=rows,
        finished_at=max(row.updated_at for row in found),
    )


def _agent_json(agent: AgentRow) -> dict[str, Any]:
    return {
        "source": agent.source,
        "sha256": agent.sha256,
        "algorithm": agent.algorithm,
        "library_version": agent.library_version,
        "environment": None if agent.environment is None else agent.environment.to_json(),
        "notices": list(agent.notices),
    }


def _random_json(row: Row) -> dict[str, Any]:
    mean = row.mean
    return {
        "status": row.status,
        "returns": list(row.returns),
        "mean_return": None if isinstance(mean, Undefined) else vars(mean),
    }
