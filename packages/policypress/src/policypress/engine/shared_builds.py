"""An artifact is built once: cells that differ only in what plays it, or where, take over that of the first."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from policypress.engine.artifact_files import BuiltArtifact, load
from policypress.engine.cells.cell import Cell
from policypress.engine.store.store import Store
from policypress.engine.tasks.factory import CellTasks
from policypress_runtime.runtimes.protocol import NATIVE, ONNXRUNTIME


class SharedBuilds:
    """Which cell has built what, by build key, in one store."""

    def __init__(self, tasks: CellTasks, store: Store) -> None:
        self._tasks = tasks
        self._store = store
        self._builder: dict[str, Cell] = {}
        self._waiting: dict[str, list[Cell]] = {}
        self._built_here: set[str] = set()

    @cached_property
    def _made(self) -> dict[str, list[Cell]]:
        """Build key → cells of the store that have such an artifact."""
        made: dict[str, list[Cell]] = {}
        for row in self._store.cells():
            key = self._tasks.build_key(row.cell)
            if key is not None and row.status != "failed" and self._store.artifact(row.key) is not None:
                made.setdefault(key, []).append(row.cell)
        return made

    def claim(self, cell: Cell) -> bool:
        """Whether ``cell`` shall build: no other is building its artifact. If one is, the cell waits for it."""
        key = self._tasks.build_key(cell)
        if key is None or self._builder.setdefault(key, cell) == cell:
            return True
        self._waiting.setdefault(key, []).append(cell)
        return False

    def lent(self, cell: Cell) -> BuiltArtifact | None:
        """An artifact that ``cell`` can take over, if a cell of the store has one whole."""
        key = self._tasks.build_key(cell)
        for maker in self._made.get(key, ()) if key is not None else ():
            record = self._store.artifact(maker.key)
            # Where the native runtime was asked for and another acts, its record says why; that is not this cell's.
            fell_back = record is not None and maker.protocol.runtime == NATIVE != record.runtime
            if record is None or maker == cell or (fell_back and cell.protocol.runtime != NATIVE):
                continue
            artifact = load(self._store.folder, record, self._store.artifact_files(maker.key))
            if artifact is None:
                continue
            # A native build of an earlier run was proved on the machine that it ran on, which may be another.
            if cell.protocol.runtime != NATIVE or maker.key not in self._built_here:
                return replace(artifact, record=replace(artifact.record, runtime=ONNXRUNTIME))
            return artifact
        return None

    def built(self, cell: Cell) -> list[Cell]:
        """Note that ``cell`` has its artifact; returns the cells that waited for it."""
        key = self._tasks.build_key(cell)
        if key is None:
            return []
        self._made.setdefault(key, []).append(cell)
        self._built_here.add(cell.key)
        return self._released(key, cell)

    def failed(self, cell: Cell) -> list[Cell]:
        """Note that ``cell`` has failed; returns the cells that waited for it, the first of which builds itself."""
        key = self._tasks.build_key(cell)
        return [] if key is None else self._released(key, cell)

    def _released(self, key: str, cell: Cell) -> list[Cell]:
        if self._builder.get(key) != cell:
            return []
        del self._builder[key]
        return self._waiting.pop(key, [])
