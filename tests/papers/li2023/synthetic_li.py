"""A database as the study li2023 leaves it, with returns that are formulas: no training, no agent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from policypress.engine.cells.cell import Cell
from policypress.engine.store.reader import AgentRow
from policypress.engine.store.store import Store
from policypress.engine.tasks.prepared_agent import PreparedAgent
from policypress.records import ArtifactRecord, EpisodeRecord, EvaluationProtocol
from policypress_runtime.contract import EnvironmentSpec

MIB = 2**20
Curve = Callable[[int], Sequence[float]]
CARTPOLE = ("dqn", "CartPole-v0")
LANDER = ("dqn", "LunarLander-v3")


def ramp(reach: int, *, cap: float = 200.0, start: float = 20.0, length: int = 200, wobble: float = 0.0) -> Curve:
    """Returns that rise from ``start`` to ``cap`` by episode ``reach`` + seed, and fall by ``wobble`` now and then."""

    def curve(seed: int) -> list[float]:
        episodes = np.arange(length)
        values = start + (cap - start) * np.minimum(episodes / (reach + seed), 1.0)
        return [float(v) - (wobble * (episode % 3 == 2)) for episode, v in zip(episodes, values, strict=True)]

    return curve


def record(
    task: tuple[str, str], seed: int, returns: Sequence[float], *, qat: bool, peak_mib: float, first: bool | None = True
) -> dict[str, Any]:
    spec = {"algorithm": task[0], "environment": {"id": task[1]}, "steps": 1000, "seed": seed, "episodes": len(returns)}
    if qat:
        spec["qat"] = {"weight_bits": 8}
    memory = {
        "peak_rss_bytes": int(peak_mib * MIB) + seed,
        "before_rss_bytes": 300 * MIB,
        "acting_bytes": 1000 + 24 * qat,
        "value_bytes": 1000 + 24 * qat,
        "optimizer_bytes": 2000,
        "replay_bytes": 50_000,
        "replay_reserved_bytes": 50_000,
        "first_in_process": first,
    }
    return {
        "spec": spec,
        "source": "Li 2023 <published>",
        "steps": 4321,
        "cpu_s": 30.0,
        "wall_s": 40.0,
        "versions": {"torch": "2"},
        "memory": memory,
        "episodes": {"episode_return": list(returns)},
    }


def add_training(
    store: Store,
    task: tuple[str, str],
    seed: int,
    curve: Curve,
    *,
    qat: bool,
    peak_mib: float = 400.0,
    first: bool | None = True,
    done: bool = True,
    evaluated: Sequence[float] = (),
) -> None:
    """One agent of the study: its training record where it is ``done``, and its artifact where it was evaluated."""
    identity = hashlib.sha256(f"{task}{seed}{qat}".encode()).hexdigest()
    environment = EnvironmentSpec(task[1])
    told = record(task, seed, curve(seed), qat=qat, peak_mib=peak_mib, first=first)
    store.add_agent(AgentRow(identity, "trained by the study", task[0], environment, training={"spec": told["spec"]}))
    own = Cell("agent", EvaluationProtocol(0), environment, identity)
    store.plan([own])
    if not done:
        return
    store.record_prepared(own, PreparedAgent({}, told), {})
    store.finish(own.key)
    if evaluated:
        recipe = "qat" if qat else "none"
        cell = Cell("variant" if qat else "baseline", EvaluationProtocol(len(evaluated)), environment, identity, recipe)
        store.plan([cell])
        bytes_ = 300 if qat else 1000
        artifact = ArtifactRecord(recipe, "", "a.onnx", "0" * 64, 2 * bytes_, bytes_, 250, 250, 0.0, 0.0, 0.0, 0.0, 1.0)
        store.record_artifact(cell.key, artifact, {})
        rows = [EpisodeRecord(seed, value, 200, "truncated", 0.01) for seed, value in enumerate(evaluated)]
        store.record_episodes(cell.key, rows, done=True)


def as_the_paper_says(path: Path, seeds: int = 5) -> Store:
    """CartPole reaches the cap later and less steadily with QAT, LunarLander does the same, memory falls by 10 %."""
    store = Store(path / "study.db")
    store.set_note("study", "li2023")
    for seed in range(seeds):
        played = [190.0 + seed, 200.0]
        add_training(store, CARTPOLE, seed, ramp(40), qat=False, peak_mib=400.0, evaluated=played)
        add_training(store, CARTPOLE, seed, ramp(90, wobble=12.0), qat=True, peak_mib=360.0, evaluated=played)
        add_training(store, LANDER, seed, ramp(300, start=-200.0, length=700), qat=False, peak_mib=500.0)
        add_training(store, LANDER, seed, ramp(303, start=-200.0, length=700), qat=True, peak_mib=450.0)
    add_training(store, CARTPOLE, seeds, ramp(40), qat=False, done=False)
    return store
