"""A study of the paper's grid whose returns are chosen, written through the store's own interface; nothing is trained.

Returns of a run are ``level × share`` plus a seed's offset and an episode's noise; random actions give about 0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from policypress.engine.cells.cell import Cell
from policypress.engine.store.reader import AgentRow
from policypress.engine.store.store import Store
from policypress.engine.tasks.prepared_agent import PreparedAgent
from policypress.engine.tasks.task import Failure
from policypress.records import ArtifactRecord, EpisodeRecord, EvaluationProtocol, Measurement
from policypress_runtime.contract import EnvironmentSpec

RATIOS = tuple(round(0.05 * step, 2) for step in range(1, 15))
PLAIN = ("none", "ptdq", "ptsq", *(f"prune({norm}, {ratio})" for norm in ("l1", "l2") for ratio in RATIOS))
LEVEL = 10_000.0
EPISODES = 6
MACHINE = {"cpu": "Test CPU", "cores_logical": 2}
Share = Callable[[str, str, str], float]
"""Of an algorithm, an environment and a recipe: mean return as a share of :data:`LEVEL`."""


def gentle(algorithm: str, environment: str, recipe: str) -> float:
    """PTDQ keeps all, PTSQ 60 %, QAT 80 %; L2 pruning keeps 90 % up to 30 %, L1 up to 10 %."""
    if recipe.startswith("prune"):
        norm, ratio = recipe.removeprefix("prune(").removesuffix(")").split(", ")
        return 0.95 if float(ratio) <= {"l1": 0.1, "l2": 0.3}[norm] else 0.3
    return {"none": 1.0, "ptdq": 1.02, "ptsq": 0.6, "qat": 0.8}[recipe]


def make_grid(
    path: Path,
    *,
    algorithms: Iterable[str] = ("ppo", "sac"),
    environments: Iterable[str] = ("HalfCheetah-v4", "Hopper-v4"),
    seeds: int = 3,
    share: Share = gentle,
    runtimes: Iterable[str] = ("onnxruntime",),
    recipes: Iterable[str] = PLAIN,
    qat: bool = True,
    with_costs: bool = False,
    spread: float = 0.01,
    left: Callable[[str, str, str, int], bool] = lambda *_: False,
    failed: Callable[[str, str, str, int], bool] = lambda *_: False,
    kernels: Mapping[str, str] | None = None,
) -> None:
    """Write the grid; cells of which ``left`` is true stay pending, those of ``failed`` fail.

    ``kernels`` says what fp32 agents and those with QAT learned by; without it no training is recorded.
    """
    recipes = tuple(recipes)
    with Store(path) as store:
        store.set_note("study", "synthetic")
        store.set_note("spec_json", json.dumps({"name": "synthetic", "description": "chosen numbers"}))
        for environment in environments:
            _random(store, environment)
            for algorithm in algorithms:
                for seed in range(seeds):
                    for kind in ("fp32", "qat") if qat else ("fp32",):
                        identity = _agent(store, algorithm, environment, seed, kind, (kernels or {}).get(kind))
                        for runtime in runtimes:
                            for recipe in recipes if kind == "fp32" else ("none", "qat"):
                                cell = _cell(identity, environment, recipe, runtime)
                                store.plan([cell])
                                about = (algorithm, environment, recipe, seed)
                                if failed(*about):
                                    store.fail(cell.key, Failure("ParityError", "It does something else.\nmore", ""))
                                elif not left(*about):
                                    level = LEVEL * share(algorithm, environment, recipe)
                                    _fill(store, cell, level, seed, spread * LEVEL, with_costs)


def _agent(store: Store, algorithm: str, environment: str, seed: int, kind: str, kernels: str | None) -> str:
    identity = hashlib.sha256(f"{algorithm} {environment} {seed} {kind}".encode()).hexdigest()
    spec: dict[str, Any] = {"steps": 1000, "seed": seed, "qat": {"weight_bits": 8} if kind == "qat" else None}
    training = {"label": kind, "spec": spec}
    store.add_agent(AgentRow(identity, "trained", algorithm, EnvironmentSpec(environment), None, training))
    own = Cell("agent", EvaluationProtocol(0), EnvironmentSpec(environment), identity)
    store.plan([own])
    if kernels is not None:
        store.record_prepared(own, PreparedAgent({}, {"spec": spec, "kernels": kernels}, ()), {})
    store.finish(own.key)
    return identity


def _cell(identity: str, environment: str, recipe: str, runtime: str) -> Cell:
    protocol = EvaluationProtocol(EPISODES, runtime=runtime)
    hashed = hashlib.sha256(recipe.encode()).hexdigest()[:16]
    kind = "baseline" if recipe == "none" else "variant"
    return Cell(kind, protocol, EnvironmentSpec(environment), identity, recipe, hashed, {"steps": [recipe]})  # type: ignore[arg-type]


def _random(store: Store, environment: str) -> None:
    cell = Cell("random", EvaluationProtocol(EPISODES, runtime=""), EnvironmentSpec(environment))
    store.plan([cell])
    _play(store, cell, np.linspace(-1.0, 1.0, EPISODES))


def _fill(store: Store, cell: Cell, level: float, seed: int, spread: float, with_costs: bool) -> None:
    rng = np.random.default_rng(int(cell.key[:8], 16))
    packed = 4000 if cell.recipe == "none" else 1000
    digest = hashlib.sha256(cell.recipe.encode()).hexdigest()
    record = ArtifactRecord(
        cell.recipe, cell.recipe_hash, "a.onnx", digest, 2 * packed, packed, 10, 20, 0.0, 0.0, 0.01, 1e-7, 0.5
    )
    store.start(cell.key, {"packages": {"numpy": "1"}, "platform": "Test", "python": "3"})
    store.record_artifact(cell.key, record, {"a.onnx": digest})
    if with_costs:
        store.record_measurements(cell.key, costs(cell.recipe, digest, cell.protocol.runtime))
    _play(store, cell, level + spread * (seed - 1) + rng.normal(0, spread, EPISODES))


def costs(recipe: str, digest: str, runtime: str) -> list[Measurement]:
    """Quantized artifacts take 5 % more memory; nothing is faster under ONNX Runtime, everything under native."""
    faster = 0.5 if runtime == "native" and recipe != "none" else 1.0
    said = {"artifact_sha256": digest, "runtime": runtime}
    memory = 5.25e7 if recipe in ("ptdq", "ptsq") else 5e7
    warm: Mapping[str, Any] = {**said, "cache": "warm"}
    return [
        Measurement("latency", "s", tuple(1e-5 * faster for _ in range(9)), warm, MACHINE),
        Measurement("peak_rss", "B", (memory,), said, MACHINE),
        Measurement("energy_per_action", "J", (1e-4 * faster,), said, MACHINE, source="modelled"),
        Measurement("energy_per_episode", "J", (1e-2 * faster,), said, MACHINE, source="modelled"),
    ]


def _play(store: Store, cell: Cell, returns: np.ndarray) -> None:
    rows = [
        EpisodeRecord(seed, float(value), 100, "truncated", 0.1)
        for seed, value in zip(cell.seeds(), returns, strict=True)
    ]
    store.record_episodes(cell.key, rows, done=True)
