"""The work of an agent's own cell: training it where the study trains it, and its rollouts.

A module-level function of a plain payload, so that any process can run it; the result is a returned value.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from policypress.agents.overrides import NO_OVERRIDES, Overrides
from policypress.engine.tasks.calibration import Calibration
from policypress.engine.tasks.prepared_agent import AGENT_FILE, CALIBRATION_FILE, PreparedAgent, pack
from policypress.engine.tasks.task import is_first_here
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.training_package import PlannedTraining, training_services
from policypress_runtime.atomic_write import write_atomic
from policypress_runtime.contract import EnvironmentSpec

PROGRESS_FILE = "progress.json"
RECORD_PATH = f"{Path(AGENT_FILE).stem}/training.json"
_PROGRESS_EVERY_S = 10.0


@dataclass(frozen=True)
class AgentPayload:
    """What is needed to prepare one agent.

    Args:
        seed: of the rollouts.
        training: JSON of the training's spec, or None where the agent is given.
        origin: where the training's hyperparameters come from, for its record.
        workplace: folder in which the training keeps its checkpoint, and is found again after an interruption.
        source: path or Hub id of a given agent.
        environment: where a given agent acts, if not where it says; of a training, the same as in its JSON with the
            user's word for the module that makes it, which no JSON holds.
        overrides: what the study file states of a given agent.
        files: of an agent that was trained before, by path; empty where it is to be trained.
    """

    seed: int
    training: dict[str, Any] | None = None
    origin: str = ""
    workplace: str = ""
    source: str = ""
    environment: EnvironmentSpec | None = None
    overrides: Overrides = NO_OVERRIDES
    files: Mapping[str, bytes] = field(default_factory=dict)


def prepare(payload: AgentPayload) -> PreparedAgent:
    """Train the agent or take the one given, and play the rollouts that its recipes need."""
    torch.set_num_threads(1)
    files: dict[str, bytes] = {}
    record: dict[str, Any] = {}
    source, environment = payload.source, payload.environment
    if payload.training is not None:
        files, record = _kept(payload) if payload.files else _train(payload)
        source = str(Path(payload.workplace) / "policy" / AGENT_FILE)
    subject = agent_in_environment(source, env=environment, overrides=payload.overrides)
    files[CALIBRATION_FILE] = pack(Calibration(subject, payload.seed).materials)
    return PreparedAgent(files, record, subject.notices)


def _train(payload: AgentPayload) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Train to the end, or take what a training that ended here before has left."""
    if payload.training is None:
        raise TypeError("a training needs its spec")
    work = Path(payload.workplace)
    environment = payload.environment or EnvironmentSpec.from_json(payload.training["environment"])
    planned = PlannedTraining(payload.training, environment, payload.origin, ())
    progress = ProgressFile(work / PROGRESS_FILE)
    trained = training_services().run(planned, work / AGENT_FILE, progress, is_first_here())
    folder = Path(AGENT_FILE).stem
    files = {AGENT_FILE: trained.policy, **{f"{folder}/{name}": content for name, content in trained.others.items()}}
    for name, content in files.items():
        write_atomic(work / "policy" / name, content)
    return files, trained.record


def _kept(payload: AgentPayload) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The agent that was trained before, put where a training would have left it."""
    for name, content in payload.files.items():
        write_atomic(Path(payload.workplace) / "policy" / name, content)
    return dict(payload.files), json.loads(payload.files[RECORD_PATH])


class ProgressFile:
    """Writes how far a training is, now and then, to a small JSON file that ``study status`` reads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._total = 0
        self._next_s = 0.0

    def started(self, steps: int, total: int, exact: bool | None) -> None:
        """Write at once."""
        self._total = total
        self._write(steps)

    def advanced(self, steps: int) -> None:
        """Write if the last time is a while ago."""
        if time.monotonic() >= self._next_s:
            self._write(steps)

    def evaluated(self, evaluation: object) -> None:
        """The record has it."""

    def _write(self, steps: int) -> None:
        self._next_s = time.monotonic() + _PROGRESS_EVERY_S
        write_atomic(self._path, json.dumps({"steps": steps, "total": self._total}).encode())
