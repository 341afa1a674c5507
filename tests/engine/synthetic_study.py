"""Tiny cells, tasks and a worker without any agent or environment: returns are functions of the seed."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from policypress.compression.learning import StepProgress
from policypress.engine import notes
from policypress.engine.artifact_files import BuiltArtifact
from policypress.engine.cells.cell import Cell
from policypress.engine.tasks.task import Task, is_first_here
from policypress.records import ArtifactRecord, EpisodeRecord, EvaluationProtocol
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import RecipeError

if TYPE_CHECKING:
    # It imports torch, which every worker that does one of the tasks below would wait for.
    from policypress.engine.tasks.costs import CostRequest, CostSubject

AGENT = hashlib.sha256(b"agent").hexdigest()
ENVIRONMENT = EnvironmentSpec("Synthetic-v0", kwargs=(("gravity", 9.81),))


def variant(name: str, episodes: int = 12) -> Cell:
    return Cell(
        "variant",
        EvaluationProtocol(episodes),
        ENVIRONMENT,
        AGENT,
        recipe=name,
        recipe_hash=hashlib.sha256(name.encode()).hexdigest(),
        recipe_json={"steps": [name]},
        method_versions={name: 1, "evaluation": 1},
    )


def baseline(episodes: int = 12) -> Cell:
    return Cell("baseline", EvaluationProtocol(episodes), ENVIRONMENT, AGENT, method_versions={"evaluation": 1})


def random_policy(episodes: int = 12) -> Cell:
    return Cell("random", EvaluationProtocol(episodes), ENVIRONMENT, method_versions={"evaluation": 1})


def grid(variants: int = 4, episodes: int = 12) -> list[Cell]:
    names = [f"prune(l1,0.{i})" for i in range(variants)]
    return [random_policy(episodes), baseline(episodes), *(variant(name, episodes) for name in names)]


def build(payload: tuple[str, float]) -> BuiltArtifact:
    recipe, pause_s = payload
    time.sleep(pause_s)
    if recipe == "broken":
        raise RecipeError("This recipe cannot be done.", got=recipe, hint="Take another.")
    model = f"model of {recipe}".encode()
    record = ArtifactRecord(
        recipe=recipe,
        recipe_hash=hashlib.sha256(recipe.encode()).hexdigest(),
        path="policy.onnx",
        sha256=hashlib.sha256(model).hexdigest(),
        file_bytes=len(model),
        packed_bytes=len(model) // 4,
        parameters=10,
        macs=20,
        channel_ratio=0.1,
        parameter_ratio=0.19,
        action_error=1 / 3,
        parity_max_error=1e-7,
        build_s=0.5,
        notices=("synthetic",),
    )
    return BuiltArtifact(record, {"policy.json": b"{}", "policy.onnx": model})


def prove(artifact: BuiltArtifact) -> BuiltArtifact:
    return replace(artifact, record=replace(artifact.record, runtime="native"))


def play(payload: tuple[bytes, tuple[int, ...], float]) -> tuple[EpisodeRecord, ...]:
    model, seeds, pause_s = payload
    time.sleep(pause_s)
    if model == b"model of crashes":
        raise ValueError("the policy fell over")
    word = int.from_bytes(hashlib.sha256(model).digest()[:4], "little")
    values = [float(np.random.default_rng([word, seed]).normal()) for seed in seeds]
    return tuple(EpisodeRecord(s, v, 1 + s % 7, "truncated", 0.25) for s, v in zip(seeds, values, strict=True))


@dataclass
class SyntheticWorker:
    """Each task takes ``pause_s``; ``log`` gets a line for each task that is made.

    With ``shares``, cells of one recipe share its artifact, and a native cell has a task that proves it.
    """

    pause_s: float = 0.0
    log: Path | None = None
    shares: bool = False

    def build(self, cell: Cell) -> Task | None:
        if cell.kind == "random":
            return None
        self._note(f"{cell.key} build")
        return Task(f"{cell.key} build", build, (cell.recipe, self.pause_s))

    def build_key(self, cell: Cell) -> str | None:
        return cell.recipe_hash if self.shares and cell.kind == "variant" else None

    def prove(self, cell: Cell, artifact: BuiltArtifact) -> Task | None:
        if cell.protocol.runtime != "native":
            return None
        self._note(f"{cell.key} prove")
        return Task(f"{cell.key} prove", prove, artifact)

    def costs(self, subjects: Mapping[Cell, CostSubject], request: CostRequest, run: str) -> Task:
        raise AssertionError("no costs are asked for")

    def episodes(self, cell: Cell, artifact: BuiltArtifact | None, seeds: tuple[int, ...]) -> Task:
        model = b"" if artifact is None else artifact.files["policy.onnx"]
        self._note(f"{cell.key} {seeds}")
        return Task(f"{cell.key} {seeds[0]}", play, (model, seeds, self.pause_s))

    def _note(self, line: str) -> None:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(line + "\n")


def double(number: float) -> float:
    return 2 * number


def tell_twice(learning: StepProgress) -> str:
    notes.on_progress(learning)
    notes.on_progress(learning)
    return "told"


def tell_and_fail(learning: StepProgress) -> None:
    notes.on_progress(learning)
    raise RecipeError("This recipe cannot be.")


def tell_and_build(payload: tuple[StepProgress, Any, Any]) -> BuiltArtifact:
    learning, function, own = payload
    notes.on_progress(learning)
    artifact: BuiltArtifact = function(own)
    return artifact


def process_id(payload: Any) -> int:
    return os.getpid()


def process_and_whether_first(payload: Any) -> tuple[int, bool]:
    return os.getpid(), is_first_here()


def thread_limits(payload: Any) -> tuple[str | None, ...]:
    return tuple(os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"))


def nap(pause_s: float) -> float:
    time.sleep(pause_s)
    return pause_s


def raise_own(message: str) -> None:
    raise RecipeError(message, got="this", expected="that", hint="do so")


def raise_foreign(message: str) -> None:
    raise KeyError(message)


def leave(status: int) -> None:
    raise SystemExit(status)


def unpicklable(payload: Any) -> Any:
    return lambda: payload


def die_always(payload: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(marker: str) -> str:
    """Dies the first time; ``marker`` is a file that remembers it."""
    path = Path(marker)
    if path.exists():
        return "second time"
    path.touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def write_pid_and_sleep(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(120)


def echo(content: bytes) -> bytes:
    return content
