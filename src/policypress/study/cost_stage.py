"""The last stage of a study of one agent: what its artifacts cost, measured alone on the machine.

All artifacts are measured in one run, taking turns, so that their ratios hold. Hence a study either has the costs of
all its artifacts from one run, and keeps them, or they are all measured (again): when one was added, when one was
built anew and came out different, or when the last run was interrupted, which stores nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from policypress.measurement.costs import CostProtocol, measure_costs
from policypress.measurement.energy import PER_ACTION, modelled, per_episode
from policypress.records import ArtifactRecord, Measurement
from policypress.runtime.protocol import NATIVE, ONNXRUNTIME, RuntimeName
from policypress.study.cell import Cell
from policypress.study.progress import Progress
from policypress.study.store import Store

# Names of what is added to a measurement's protocol: when its run began, and which file was measured.
RUN = "run"
ARTIFACT = "artifact_sha256"
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

    Raises:
        ExecutionError: a fresh process with an artifact failed.
        KeyboardInterrupt: Ctrl-C; the store is as before.
    """
    records = {cell.key: record for cell in cells if (record := store.artifact(cell.key)) is not None}
    if not records:
        return
    digests = {key: record.sha256 for key, record in records.items()}
    runtimes = {key: _runtime(record) for key, record in records.items()}
    if _complete(store, digests, runtimes):
        if watts_per_core is not None:
            _model_again(store, digests, watts_per_core)
        return
    files = {key: store.folder / record.path for key, record in records.items()}
    run = datetime.now(UTC).isoformat(timespec="milliseconds")
    found = measure_costs(
        files, protocol, runtimes, seed=seed, watts_per_core=watts_per_core, on_step=progress.measuring
    )
    store.replace_measurements(
        {
            key: _with_episodes(store, key, [_marked(row, run, digests[key]) for row in rows])
            for key, rows in found.items()
        }
    )


def _runtime(record: ArtifactRecord) -> RuntimeName:
    return NATIVE if record.runtime == NATIVE else ONNXRUNTIME


def _marked(row: Measurement, run: str, digest: str) -> Measurement:
    return replace(row, protocol={**row.protocol, RUN: run, ARTIFACT: digest})


def _with_episodes(store: Store, key: str, rows: list[Measurement]) -> list[Measurement]:
    """``rows``, and the energy of an episode where episodes were played."""
    lengths = [episode.length for episode in store.episodes(key)]
    derived = [per_episode(row, lengths) for row in rows if row.quantity == PER_ACTION and lengths]
    return [*rows, *derived]


def _complete(store: Store, digests: Mapping[str, str], runtimes: Mapping[str, str]) -> bool:
    """Whether every cell has every quantity of its present artifact under its runtime, all from one run."""
    runs: set[Any] = set()
    for key, digest in digests.items():
        rows = [row for row in store.measurements(key) if row.protocol.get(ARTIFACT) == digest]
        if {row.protocol["runtime"] for row in rows if "runtime" in row.protocol} - {runtimes[key]}:
            return False
        if not {(row.quantity, row.protocol.get("cache")) for row in rows} >= _REQUIRED:
            return False
        runs |= {row.protocol.get(RUN) for row in rows}
    return len(runs) == 1


def _model_again(store: Store, digests: Mapping[str, str], watts_per_core: float) -> None:
    changed = {}
    for key, digest in digests.items():
        old = store.measurements(key, PER_ACTION)[-1]
        if old.source == "modelled" and old.protocol.get("watts_per_core") != watts_per_core:
            cpu = store.measurements(key, "cpu_per_action")[-1]
            row = modelled(cpu, watts_per_core, old.protocol.get("not_measured", {}))
            changed[key] = _with_episodes(store, key, [_marked(row, str(old.protocol[RUN]), digest)])
    store.replace_measurements(changed)
