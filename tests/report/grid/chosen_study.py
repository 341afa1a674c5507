"""A study whose returns, sizes and costs are chosen, of any agents and recipes; nothing is trained or played."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from policypress.engine.cells.cell import Cell, CellKind
from policypress.engine.store.reader import AgentRow
from policypress.engine.store.store import Store
from policypress.engine.tasks.task import Failure
from policypress.records import ArtifactRecord, EpisodeRecord, EvaluationProtocol, Measurement
from policypress_runtime.contract import EnvironmentSpec

EPISODES = 8
MACHINE = {"cpu": "Test CPU"}


@dataclass(frozen=True)
class Made:
    """A recipe: share of the return that it keeps, packed bytes, and steps in JSON form."""

    keeps: float
    packed: int
    steps: Sequence[Mapping[str, Any]]


RECIPES = {
    "none": Made(1.0, 4000, ()),
    "int8": Made(0.99, 1000, ({"step": "int8"},)),
    "ptsq": Made(0.4, 1100, ({"step": "ptsq"},)),
    "prune(l2, 0.5)": Made(0.93, 2000, ({"step": "prune", "criterion": "l2", "ratio": 0.5},)),
    "prune(l2, 0.5) > int8": Made(0.91, 500, ({"step": "prune", "criterion": "l2", "ratio": 0.5}, {"step": "int8"})),
}
TRAINED = ("ppo", "Hopper-v4")
GIVEN = ("sac", "Pendulum-v1")


def make(
    path: Path,
    *,
    recipes: Mapping[str, Made] = RECIPES,
    seeds: int = 3,
    given: int = 1,
    runtimes: Sequence[str] = ("onnxruntime",),
    costs: bool = True,
    left: Sequence[str] = (),
    failed: Sequence[str] = (),
    level: float = 1000.0,
    source: str = "robots/arm.zip",
    skipped: Mapping[str, int] = MappingProxyType({}),
    unmeasured: Sequence[str] = (),
) -> None:
    """Write it: one training with ``seeds`` seeds, and ``given`` agents; recipes in ``left`` or ``failed`` are so.

    ``skipped`` says of which given agent a recipe is not planned; of those in ``unmeasured`` there are no costs.
    """
    with Store(path) as store:
        for environment in dict.fromkeys((TRAINED[1], GIVEN[1])):
            cell = Cell("random", EvaluationProtocol(EPISODES, runtime=""), EnvironmentSpec(environment))
            _play(store, cell, 0.0)
        trained = [(TRAINED, seed, {"label": "ours", "spec": {"steps": 1000, "seed": seed}}) for seed in range(seeds)]
        whole: list[tuple[tuple[str, str], int, dict[str, Any]]] = [*trained]
        whole += [(GIVEN, number, {"label": "theirs"}) for number in range(given)]
        for (algorithm, environment), number, training in whole:
            identity = hashlib.sha256(f"{algorithm} {number}".encode()).hexdigest()
            name = "trained" if "spec" in training else source.replace("arm", f"arm-{number}")
            store.add_agent(AgentRow(identity, name, algorithm, EnvironmentSpec(environment), None, training))
            for runtime in runtimes:
                for recipe, about in recipes.items():
                    if name != "trained" and skipped.get(recipe) == number:
                        continue
                    cell = _cell("baseline" if recipe == "none" else "variant", identity, environment, recipe, runtime)
                    store.plan([cell])
                    if recipe in failed:
                        store.fail(cell.key, Failure("ParityError", "It does something else.\nmore", ""))
                    elif recipe not in left:
                        _build(store, cell, about)
                        _play(store, cell, level * about.keeps + 2 * number)
                    if costs and recipe not in (*left, *failed, *unmeasured):
                        _measure(store, _cell("cost", identity, environment, recipe, runtime), about)


def _cell(kind: CellKind, identity: str, environment: str, recipe: str, runtime: str) -> Cell:
    protocol = EvaluationProtocol(0 if kind == "cost" else EPISODES, runtime=runtime)
    steps = {"steps": list(RECIPES[recipe].steps)} if recipe in RECIPES else {}
    hashed = hashlib.sha256(recipe.encode()).hexdigest()[:16]
    return Cell(kind, protocol, EnvironmentSpec(environment), identity, recipe, hashed, steps)


def _digest(cell: Cell) -> str:
    return hashlib.sha256(f"{cell.agent_sha256} {cell.recipe}".encode()).hexdigest()


def _build(store: Store, cell: Cell, about: Made) -> None:
    sizes = (2 * about.packed, about.packed, about.packed // 4, about.packed)
    record = ArtifactRecord(cell.recipe, cell.recipe_hash, "a.onnx", _digest(cell), *sizes, 0.0, 0.0, 0.01, 1e-7, 0.5)
    store.start(cell.key, {"packages": {"numpy": "1"}, "platform": "Test", "python": "3"})
    store.record_artifact(cell.key, record, {"a.onnx": _digest(cell)})


def _play(store: Store, cell: Cell, mean: float) -> None:
    store.plan([cell])
    rows = [EpisodeRecord(seed, mean + 3.0 * (-1) ** at, 100, "truncated", 0.1) for at, seed in enumerate(cell.seeds())]
    store.record_episodes(cell.key, rows, done=True)


def _measure(store: Store, cell: Cell, about: Made) -> None:
    """Time goes with size; energy is modelled."""
    said = {"artifact_sha256": _digest(cell), "runtime": cell.protocol.runtime, "run": "1"}
    store.plan([cell])
    store.start(cell.key, {})
    store.record_measurements(
        cell.key,
        [
            Measurement("latency", "s", (about.packed * 1e-9,) * 5, {**said, "cache": "warm"}, MACHINE),
            Measurement("peak_rss", "B", (5e7 + about.packed,), said, MACHINE),
            Measurement("energy_per_action", "J", (about.packed * 1e-8,), said, MACHINE, source="modelled"),
        ],
    )
    store.finish(cell.key)
