"""Table 2: memory of a training before and after QAT, the paper's number beside ours and its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policypress.measurement.statistics import Interval, Missing
from policypress_li2023.comparing import difference
from policypress_li2023.paper import MEMORY, PrintedMemory
from policypress_li2023.trainings import Form, Run, Task

PARTS = ("acting_bytes", "value_bytes", "optimizer_bytes", "replay_bytes")


@dataclass(frozen=True)
class FormMemory:
    """Memory of one form, means over seeds, in bytes; None where nothing was measured.

    Attributes:
        peak_rss_bytes: largest resident set of the training's process; only of processes that trained nothing before.
        started_rss_bytes: the same process's before the algorithm was set up: interpreter, libraries, environment.
        parts: acting network, value and target networks, optimizer, used replay buffer: sizes of their tensors.
        deployed_bytes: the artifact: weights, biases, scales, as packed for use.
        file_bytes: the artifact's ONNX file.
        runs: trainings behind the resident sets.
    """

    peak_rss_bytes: float | None
    started_rss_bytes: float | None
    parts: dict[str, float]
    deployed_bytes: float | None
    file_bytes: float | None
    runs: int


@dataclass(frozen=True)
class MemoryRow:
    """One task of table 2.

    Attributes:
        decrease: share by which QAT lowers the peak resident set, with its interval over seeds. What is compared is
            how much each process grew since before the algorithm was set up (what it had imported by then differs
            with who started it), as a share of fp32's peak.
    """

    algorithm: str
    environment: str
    printed: PrintedMemory | None
    fp32: FormMemory
    qat: FormMemory
    decrease: Interval | Missing


def memory_row(task: Task) -> MemoryRow:
    """The row of ``task``."""
    gap = difference(_growths(task.runs["fp32"]), _growths(task.runs["qat"]))
    if isinstance(gap, Interval):
        base = float(np.mean(_peaks(task.runs["fp32"])))
        gap = Interval(gap.estimate / base, gap.lower / base, gap.upper / base, gap.confidence, gap.method)
    printed = MEMORY.get(task.environment) if task.algorithm == "dqn" else None
    return MemoryRow(task.algorithm, task.environment, printed, _form(task, "fp32"), _form(task, "qat"), gap)


def _peaks(runs: Sequence[Run]) -> list[float]:
    return [float(run.memory["peak_rss_bytes"]) for run in runs if run.memory.get("first_in_process")]


def _growths(runs: Sequence[Run]) -> list[float]:
    own = [run.memory for run in runs if run.memory.get("first_in_process")]
    return [float(memory["peak_rss_bytes"] - memory["before_rss_bytes"]) for memory in own]


def _form(task: Task, form: Form) -> FormMemory:
    runs = task.runs[form]
    own = [run for run in runs if run.memory.get("first_in_process")]
    built = [run.artifact for run in runs if run.artifact is not None]
    return FormMemory(
        peak_rss_bytes=_mean(_peaks(runs)),
        started_rss_bytes=_mean([float(run.memory["before_rss_bytes"]) for run in own]),
        parts={part: float(np.mean([run.memory[part] for run in runs])) for part in PARTS} if runs else {},
        deployed_bytes=_mean([float(item.packed_bytes) for item in built]),
        file_bytes=_mean([float(item.file_bytes) for item in built]),
        runs=len(own),
    )


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
