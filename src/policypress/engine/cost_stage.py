"""The last stage of a study of one agent: what its artifacts cost, measured alone on the machine.

All artifacts, under every runtime that is asked for, are measured in one run, taking turns, so that their ratios
hold. Hence a study either has the costs of all its artifacts from one run, and keeps them, or they are all measured
(again): when one was added, when one was built anew and came out different, when another runtime is asked for, or
when the last run was interrupted, which stores nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from policypress.engine.cell import Cell
from policypress.engine.progress import Progress
from policypress.engine.store.store import Store
from policypress.measurement.costs import CostProtocol, measure_costs
from policypress.measurement.energy import PER_ACTION, modelled, per_episode
from policypress.records import ArtifactRecord, Measurement
from policypress.runtime.protocol import NATIVE, ONNXRUNTIME, RuntimeName

# Names of what is added to a measurement's protocol: when its run began, and which file was measured.
RUN = "run"
ARTIFACT = "artifact_sha256"
RUNTIME = "runtime"
_REQUIRED = frozenset(
    {("latency", "warm"), ("latency", "cold"), ("peak_rss", None), ("cpu_per_action", None), (PER_ACTION, None)}
)


def measure_cell_costs(
    store: Store,
    cells: Iterable[Cell],
    seed: int,
    watts_per_core: float | None,
    progress: Progress,
    protocol: CostProtocol | None = None,
    runtimes: Mapping[str, Collection[RuntimeName]] | None = None,
) -> None:
    """Bring the costs of every cell with an artifact into the store, unless they are there.

    Call it when no worker is at work. Nothing is stored before everything is measured. With another
    ``watts_per_core`` than before, modelled energies are computed anew from the CPU time that the store has.

    Args:
        store: open for this driver.
        cells: of one agent; those that are done.
        seed: of the observations that are acted on.
        watts_per_core: power of a busy core; None for the default, or what the store has.
        progress: is told each step.
        protocol: how much is measured.
        runtimes: key of a cell → what acts with its artifact, one after the other; by default, and for cells that it
            does not name, what played the cell's episodes. A native build must have been proven.

    Raises:
        ExecutionError: a fresh process with an artifact failed.
        KeyboardInterrupt: Ctrl-C; the store is as before.
    """
    records = {cell.key: record for cell in cells if (record := store.artifact(cell.key)) is not None}
    if not records:
        return
    digests = {key: record.sha256 for key, record in records.items()}
    asked = {key: tuple((runtimes or {}).get(key, (_runtime(record),))) for key, record in records.items()}
    if _complete(store, digests, asked):
        if watts_per_core is not None:
            _model_again(store, digests, watts_per_core)
        return
    subjects = {f"{key} {runtime}": (key, runtime) for key, names in asked.items() for runtime in names}
    run = datetime.now(UTC).isoformat(timespec="milliseconds")
    found = measure_costs(
        {name: store.folder / records[key].path for name, (key, _) in subjects.items()},
        protocol,
        {name: runtime for name, (_, runtime) in subjects.items()},
        seed=seed,
        watts_per_core=watts_per_core,
        on_step=progress.measuring,
    )
    measured: dict[str, list[Measurement]] = {key: [] for key in records}
    for name, (key, runtime) in subjects.items():
        said = {RUN: run, ARTIFACT: digests[key]}
        rows = [replace(row, protocol={RUNTIME: runtime, **row.protocol, **said}) for row in found[name]]
        measured[key] += _with_episodes(store, key, rows)
    store.replace_measurements(measured)


def _runtime(record: ArtifactRecord) -> RuntimeName:
    return NATIVE if record.runtime == NATIVE else ONNXRUNTIME


def _with_episodes(store: Store, key: str, rows: list[Measurement]) -> list[Measurement]:
    """``rows``, and the energy of an episode where episodes were played."""
    lengths = [episode.length for episode in store.episodes(key)]
    derived = [per_episode(row, lengths) for row in rows if row.quantity == PER_ACTION and lengths]
    return [*rows, *derived]


def _complete(store: Store, digests: Mapping[str, str], asked: Mapping[str, Collection[str]]) -> bool:
    """Whether every cell has every quantity of its present artifact under its runtimes alone, all from one run."""
    runs: set[Any] = set()
    for key, digest in digests.items():
        rows = [row for row in store.measurements(key) if row.protocol.get(ARTIFACT) == digest]
        found: dict[Any, set[tuple[str, Any]]] = {}
        for row in rows:
            found.setdefault(row.protocol.get(RUNTIME), set()).add((row.quantity, row.protocol.get("cache")))
        if found.keys() != set(asked[key]) or not all(quantities >= _REQUIRED for quantities in found.values()):
            return False
        runs |= {row.protocol.get(RUN) for row in rows}
    return len(runs) == 1


def _model_again(store: Store, digests: Mapping[str, str], watts_per_core: float) -> None:
    changed = {}
    for key in digests:
        old = store.measurements(key, PER_ACTION)
        new = [_modelled_again(store, key, row, watts_per_core) for row in old]
        if any(row is not before for row, before in zip(new, old, strict=True)):
            changed[key] = _with_episodes(store, key, new)
    store.replace_measurements(changed)


def _modelled_again(store: Store, key: str, row: Measurement, watts_per_core: float) -> Measurement:
    """``row``, or where it was modelled with other watts, the model's new value under the same runtime."""
    if row.source != "modelled" or row.protocol.get("watts_per_core") == watts_per_core:
        return row
    runtime = row.protocol[RUNTIME]
    cpu = next(cpu for cpu in store.measurements(key, "cpu_per_action") if cpu.protocol[RUNTIME] == runtime)
    return modelled(cpu, watts_per_core, row.protocol.get("not_measured", {}))
