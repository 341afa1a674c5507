"""The work of cost cells: what acting with an agent's artifacts costs, all measured together on a machine of their own.

A module-level function of a plain payload, so that any process on any machine can run it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from policypress.engine import notes
from policypress.engine.tasks.task import Failure
from policypress.export.parity import Observations
from policypress.export.runtime_gate import check_runtime
from policypress.measurement.costs.background_load import BackgroundLoad
from policypress.measurement.costs.energy import PER_ACTION, per_episode
from policypress.measurement.costs.measuring import CostProtocol, measure_costs
from policypress.records import Measurement
from policypress_runtime.errors import PolicypressError
from policypress_runtime.runtimes.loading import load_model
from policypress_runtime.runtimes.protocol import NATIVE, Runtime, RuntimeName

CPU_PER_ACTION, CPU_PER_EPISODE = "cpu_per_action", "cpu_per_episode"
ARTIFACT, OTHERS, RUN, RUNTIME = "artifact_sha256", "others_busy_cores", "run", "runtime"
"""In a measurement's protocol: the file, how busy others were, when the agent's run began, what acted."""


@dataclass(frozen=True)
class CostSubject:
    """One artifact under one runtime.

    Args:
        key: of its cost cell.
        model: the ONNX file.
        runtime: of the artifact.
        lengths: steps of the artifact's evaluation episodes; what makes costs of an action those of an episode.
    """

    key: str
    model: bytes
    runtime: RuntimeName
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class CostRequest:
    """How costs are measured.

    Args:
        protocol: how much of each artifact.
        seed: of the observations acted on.
        watts_per_core: power of a busy core, for energy that no meter can measure; None for the default.
    """

    protocol: CostProtocol = field(default_factory=CostProtocol)
    seed: int = 0
    watts_per_core: float | None = None

    def stated(self) -> dict[str, Any]:
        """What stands for it in the key of a cost cell."""
        names = ("warm_samples", "cold_samples", "windows", "processes")
        return {**{name: getattr(self.protocol, name) for name in names}, "watts_per_core": self.watts_per_core}


@dataclass(frozen=True)
class CostPayload:
    """What is measured together, taking turns, so that its ratios hold.

    Args:
        subjects: artifacts of one agent.
        parity: observations on which a native build is proven before it is measured.
        request: how they are measured.
        run: when the measuring of these subjects began, ISO 8601; what they have in common.
    """

    subjects: tuple[CostSubject, ...]
    parity: Observations
    request: CostRequest
    run: str = ""


@dataclass(frozen=True)
class MeasuredCosts:
    """Key of a cost cell → its measurements, or why it has none; each subject is in exactly one."""

    measured: Mapping[str, tuple[Measurement, ...]]
    failed: Mapping[str, Failure]


def measure(payload: CostPayload) -> MeasuredCosts:
    """The costs of every subject; one that cannot be built or proven here fails alone.

    Raises:
        ExecutionError: a fresh process with an artifact failed.
    """
    torch.set_num_threads(1)
    failed: dict[str, Failure] = {}
    with tempfile.TemporaryDirectory(prefix="policypress-costs-") as folder:
        files: dict[str, Path] = {}
        for subject in payload.subjects:
            try:
                proven(subject.model, subject.runtime, payload.parity)
            except PolicypressError as error:
                failed[subject.key] = Failure.of(error)
                continue
            files[subject.key] = _written(subject.model, Path(folder))
        able = [subject for subject in payload.subjects if subject.key in files]
        others = BackgroundLoad()
        found = measure_costs(
            files,
            payload.request.protocol,
            {subject.key: subject.runtime for subject in able},
            seed=payload.request.seed,
            watts_per_core=payload.request.watts_per_core,
            on_step=lambda done, total: notes.on_progress(notes.MeasuringSteps(done, total)),
        )
        metadata = {OTHERS: round(others.busy_cores(), 3), RUN: payload.run}
    return MeasuredCosts({subject.key: _rows(subject, found[subject.key], metadata) for subject in able}, failed)


def proven(model: bytes, name: RuntimeName, observations: Observations) -> Runtime:
    """The artifact ``model`` loaded here; a native build has to do what ONNX Runtime does with the file.

    Raises:
        NativeBuildError: it cannot be built.
        ParityError: it does something else.
    """
    runtime = load_model(model, name)
    if name == NATIVE:
        check_runtime(None, model, runtime, observations)
    return runtime


def _written(model: bytes, folder: Path) -> Path:
    """The file of ``model``, once for all runtimes."""
    path = folder / f"{hashlib.sha256(model).hexdigest()}.onnx"
    if not path.exists():
        path.write_bytes(model)
    return path


def _rows(subject: CostSubject, rows: Sequence[Measurement], metadata: Mapping[str, object]) -> tuple[Measurement, ...]:
    """``rows``, marked, and what an episode costs where episodes were played."""
    artifact = {ARTIFACT: hashlib.sha256(subject.model).hexdigest()}
    marked = [replace(row, protocol={RUNTIME: subject.runtime, **row.protocol, **artifact, **metadata}) for row in rows]
    if subject.lengths:
        for row in tuple(marked):
            if row.quantity == PER_ACTION:
                marked.append(per_episode(row, subject.lengths))
            elif row.quantity == CPU_PER_ACTION:
                marked.append(_cpu_per_episode(row, subject.lengths))
    return tuple(marked)


def _cpu_per_episode(row: Measurement, lengths: Sequence[int]) -> Measurement:
    derived = {"derived": "CPU time per action x mean episode length"}
    scaled = per_episode(row, lengths)
    return replace(scaled, quantity=CPU_PER_EPISODE, protocol={**scaled.protocol, **derived})
