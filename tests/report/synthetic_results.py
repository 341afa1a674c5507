"""A study whose numbers are chosen, without any agent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from policypress.engine.cells.cell import Cell
from policypress.engine.store.reader import AgentRow
from policypress.engine.store.store import Store
from policypress.engine.tasks.task import Failure
from policypress.records import ArtifactRecord, EpisodeRecord, EvaluationProtocol, Measurement
from policypress_runtime.contract import Box, Contract, Discrete, EnvironmentSpec, TensorSpec

AGENT = hashlib.sha256(b"agent").hexdigest()
ENVIRONMENT = EnvironmentSpec("Synthetic-v0")
MACHINE = {"cpu": "Test CPU", "cores_logical": 2, "memory_bytes": 8_000_000_000, "system": "Linux", "python": "3"}
EPISODES = 12
RECIPES: dict[str, list[dict[str, object]]] = {
    "none": [],
    "ptdq": [{"step": "ptdq"}],
    "equalize > int8": [{"step": "equalize"}, {"step": "int8"}],
    "prune(l2, 0.5)": [{"step": "prune", "criterion": "l2", "ratio": 0.5}],
    "ptsq": [{"step": "ptsq"}],
}
PACKED = {"none": 4000, "ptdq": 1000, "equalize > int8": 1100, "prune(l2, 0.5)": 900}
MEANS = {"random": 0.0, "none": 100.0, "ptdq": 99.0, "equalize > int8": 100.0, "prune(l2, 0.5)": 50.0}
SPREADS = {"random": 1.0, "none": 1.0, "ptdq": 12.0, "equalize > int8": 1.0, "prune(l2, 0.5)": 5.0}


def costs(packed: int) -> list[Measurement]:
    """Costs that grow with the size, as the measuring stage of a study writes them."""
    warm = tuple((1e-6 + 1e-9 * packed) * (1 + 0.01 * i) for i in range(50))
    said = {"runtime": "onnxruntime", "floor_s": {"p50": 1e-7, "p95": 2e-7, "p99": 3e-7}}
    model = {"watts_per_core": 12.0, "watts_source": "a table", "not_measured": {"rapl": "no counters <here>"}}
    return [
        Measurement("latency", "s", warm, {**said, "cache": "warm"}, MACHINE),
        Measurement("latency", "s", tuple(5 * value for value in warm), {**said, "cache": "cold"}, MACHINE),
        Measurement("peak_rss", "B", (5.0e7, 5.1e7, 5.2e7), {"bare_python_bytes": 9_000_000}, MACHINE),
        Measurement("cpu_per_action", "s", (2e-6, 3e-6, 4e-6), {}, MACHINE),
        Measurement("energy_per_action", "J", (3.6e-5,), model, MACHINE, source="modelled"),
        Measurement("energy_per_episode", "J", (3.6e-2,), model, MACHINE, source="modelled"),
    ]


def contract(recipe: str) -> Contract:
    return Contract(
        algorithm="dqn",
        observation_space=Box((4,), "float32", (-1.0,), (1.0,)),
        action_space=Discrete(2),
        inputs=(TensorSpec("observation", "float32", (4,)),),
        outputs=(TensorSpec("action", "int64", ()),),
        folded=("argmax",),
        recipe=recipe,
        recipe_hash=hashlib.sha256(recipe.encode()).hexdigest()[:16],
        environment=ENVIRONMENT,
    )


def _fill(store: Store, cell: Cell, with_costs: bool, returns: Sequence[float]) -> None:
    name = "random" if cell.kind == "random" else cell.recipe
    if name == "ptsq":
        store.fail(cell.key, Failure("ParityError", "The file would not do what the policy does.", "trace"))
        return
    if name != "random":
        model = f"model of {name}".encode()
        slug = "".join(c if c.isalnum() or c == "." else "-" for c in name).replace("---", "-").strip("-")
        file = f"artifacts/{cell.key[:16]}/{slug}.onnx"
        sidecar = json.dumps(contract(name).to_json()).encode()
        for path, content in ((file, model), (file + ".json", sidecar)):
            (store.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (store.folder / path).write_bytes(content)
        digest = hashlib.sha256(model).hexdigest()
        packed = PACKED[name]
        record = ArtifactRecord(
            name, cell.recipe_hash, file, digest, 2 * packed, packed, packed // 4, packed, 0.0, 0.0, 0.01, 1e-7, 0.5
        )
        store.record_artifact(cell.key, record, {file: digest, file + ".json": hashlib.sha256(sidecar).hexdigest()})
        if with_costs:
            store.record_measurements(cell.key, costs(packed))
    rows = [EpisodeRecord(s, r, 100, "truncated", 0.1) for s, r in zip(cell.seeds(), returns, strict=True)]
    store.record_episodes(cell.key, rows, done=True)


def make_study(
    path: Path,
    *,
    with_costs: bool = True,
    episodes: int = EPISODES,
    means: Mapping[str, float] = MEANS,
    recipes: Sequence[str] = tuple(RECIPES),
    source: str = "agent.zip",
) -> dict[str, str]:
    """A store of ``recipes`` at ``path``: name → key. The recipe ``ptsq`` has failed."""
    environment = ENVIRONMENT if episodes else None
    protocol = EvaluationProtocol(episodes)
    cells = [Cell("random", protocol, environment)] if episodes else []
    for recipe in recipes:
        kind = "variant" if recipe != "none" else "baseline"
        hashed = hashlib.sha256(recipe.encode()).hexdigest()[:16]
        steps = {"version": 1, "steps": RECIPES[recipe]}
        cells.append(Cell(kind, protocol, environment, AGENT, recipe, hashed, steps))  # type: ignore[arg-type]
    with Store(path) as store:
        store.add_agent(AgentRow(AGENT, source, "dqn", ENVIRONMENT, "2.9.2", {}, ("a note",)))
        store.plan(cells)
        for index, cell in enumerate(cells):
            name = "random" if cell.kind == "random" else cell.recipe
            noise = np.random.default_rng(index).permutation(np.linspace(-1, 1, episodes)) * SPREADS.get(name, 0.0)
            store.start(cell.key, {})
            _fill(store, cell, with_costs, [float(means.get(name, 0.0) + value) for value in noise])
    return {"random" if cell.kind == "random" else cell.recipe: cell.key for cell in cells}
