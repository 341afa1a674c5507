"""Where a study stands: every cell of its plan is done, running, failed or left."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policypress.engine.cells.cell import Cell
from policypress.engine.store.reader import CellRow, StoreReader
from policypress.engine.tasks.agents import PROGRESS_FILE
from policypress.study.agents import PlannedAgent
from policypress.study.estimate import estimate
from policypress.study.study_agents import WORKPLACE
from policypress.study.whole_study import Study
from policypress_runtime.runtimes.protocol import NATIVE, ONNXRUNTIME

_STATES = ("done", "running", "failed", "pending")
RANDOM = "random actions"
COSTS: Mapping[str, str] = {NATIVE: "costs, native", ONNXRUNTIME: "costs, ONNX Runtime"}
_SHOWN_FAILURES = 20


@dataclass(frozen=True)
class StatusRow:
    """The cells of one group of agents; ``training`` says how many agents are ready, and how far others are."""

    name: str
    done: int
    running: int
    failed: int
    left: int
    training: str

    @property
    def cells(self) -> int:
        """All of them."""
        return self.done + self.running + self.failed + self.left


@dataclass(frozen=True)
class StudyStatus:
    """All cells of a study by state, the same by algorithm and environment, and the time that is left."""

    name: str
    counts: dict[str, int]
    rows: tuple[StatusRow, ...]
    failures: tuple[str, ...]
    cpu_left_s: float

    def summary(self) -> str:
        """One line."""
        total = sum(self.counts.values())
        parts = [f"{self.counts['done']} of {total} cells done"]
        parts += [f"{self.counts[state]} {state}" for state in ("running", "failed") if self.counts[state]]
        if self.counts["pending"] or self.counts["running"]:
            parts.append(f"about {self.cpu_left_s / 3600:.1f} h of one core left")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "schema": 1,
            "study": self.name,
            "counts": self.counts,
            "groups": [{**vars(row), "cells": row.cells} for row in self.rows],
            "failures": list(self.failures),
            "cpu_left_s": self.cpu_left_s,
        }


def study_status(study: Study) -> StudyStatus:
    """Where ``study`` stands now; nothing is changed, and a driver may be at work.

    Raises:
        StoreError: the store is damaged or of another schema.
    """
    plan = study.plan
    if not study.store.is_file():
        stored: dict[str, CellRow] = {}
        left = study.left()
    else:
        with StoreReader(study.store) as store:
            stored = {row.key: row for row in store.cells()}
            undone = [cell for cell in plan.cells if cell.key not in stored or stored[cell.key].status != "done"]
            left = estimate(plan, undone, store)
    states = {cell.key: stored[cell.key].status if cell.key in stored else "pending" for cell in plan.cells}
    counts: Counter[str] = Counter(states.values())
    groups: dict[str, list[Cell]] = {}
    for cell in plan.cells:
        name = COSTS[cell.protocol.runtime] if cell.kind == "cost" else _group(cell, plan.agents)
        groups.setdefault(name, []).append(cell)
    failed = [row for cell in plan.cells if (row := stored.get(cell.key)) is not None and row.failure is not None]
    return StudyStatus(
        name=study.spec.name,
        counts={state: counts.get(state, 0) for state in _STATES},
        rows=tuple(_row(name, cells, states, study.folder) for name, cells in groups.items()),
        failures=tuple(_failure(row, plan.agents) for row in failed[:_SHOWN_FAILURES]),
        cpu_left_s=left.cpu_s + left.costs_s,
    )


def _group(cell: Cell, agents: Mapping[str, PlannedAgent]) -> str:
    agent = agents.get(cell.agent_sha256 or "")
    if agent is None:
        return RANDOM
    return " ".join(part for part in (agent.label, agent.algorithm, agent.environment.id) if part)


def _row(name: str, cells: Iterable[Cell], states: dict[str, Any], folder: Path) -> StatusRow:
    cells = list(cells)
    counts = Counter(states[cell.key] for cell in cells)
    own = [cell for cell in cells if cell.kind == "agent"]
    ready = sum(states[cell.key] == "done" for cell in own)
    parts = [f"{ready}/{len(own)} agents"] if own else []
    parts += [text for cell in own if states[cell.key] == "running" and (text := _progress(folder, cell))]
    return StatusRow(name, counts["done"], counts["running"], counts["failed"], counts["pending"], ", ".join(parts))


def _progress(folder: Path, cell: Cell) -> str:
    """How far the training of a running agent is; empty where it does not say."""
    path = folder / WORKPLACE / (cell.agent_sha256 or "")[:16] / PROGRESS_FILE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return f"{100 * told['steps'] / told['total']:.0f} %"
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return ""


def _failure(row: CellRow, agents: Mapping[str, PlannedAgent]) -> str:
    reason = row.failure.message.splitlines()[0] if row.failure is not None else ""
    what = "preparing" if row.cell.kind == "agent" else row.cell.recipe
    if row.cell.kind == "cost":
        what = f"costs of {what} under {row.cell.protocol.runtime}"
    return f"{_group(row.cell, agents)}, {what}: {reason}"
