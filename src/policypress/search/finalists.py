"""What the artifacts that a search ends with cost: the baseline and those that came furthest, measured together.

They are measured under the native runtime wherever it can be had, whatever played the episodes: it is the fastest, and
ONNX Runtime, whose own overhead is most of what a small policy takes there, hides what compression does to speed. The
baseline and the best recipe are measured under ONNX Runtime as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policypress.engine.cell import Cell
from policypress.engine.cost_stage import measure_cell_costs
from policypress.engine.cost_tasks import proven
from policypress.engine.store.store import Store
from policypress.errors import ExecutionError, PolicypressError
from policypress.export.parity import Observations
from policypress.runtime.protocol import NATIVE, ONNXRUNTIME, RuntimeName
from policypress.search.history import SearchHistory
from policypress.search.narrator import Narrator
from policypress.search.objective import BASELINE
from policypress.search.session import Session

MOST_MEASURED = 6
"""So many artifacts have their costs measured: those that got furthest."""
_FURTHEST = ("certified", "not certified", "promising", "raced")


@dataclass(frozen=True)
class CostOptions:
    """How costs are measured: under which runtime, on observations of which seed, with which modelled power."""

    runtime: RuntimeName
    seed: int
    watts_per_core: float | None


def finalists(history: SearchHistory) -> list[str]:
    """The baseline and the recipes that got furthest, the winner first among them."""
    furthest = sorted(
        (tried for tried in history.tried if tried.stage in _FURTHEST), key=lambda tried: _FURTHEST.index(tried.stage)
    )
    return [BASELINE, *(tried.recipe for tried in furthest)][:MOST_MEASURED]


def measure_finalists(
    store: Store, session: Session, history: SearchHistory, options: CostOptions, narrator: Narrator
) -> tuple[str, ...]:
    """Bring the costs of the finalists into the store; returns what is to be told of it."""
    if history.ending == "interrupted":
        return ()
    rows = [store.cell(session.cells[text][0]) for text in finalists(history) if text in session.cells]
    cells = [row.cell for row in rows if row is not None]
    told: tuple[str, ...] = ()
    try:
        runtimes: dict[str, tuple[RuntimeName, ...]] = {cell.key: (options.runtime,) for cell in cells}
        if options.runtime == NATIVE:
            narrator.phase("building for the native runtime")
            runtimes, told = _native_where_proven(store, cells, session.materials.parity)
        measure_cell_costs(store, cells, options.seed, options.watts_per_core, narrator, runtimes=runtimes)
    except ExecutionError as error:
        return (*told, f"The costs were not measured. {error}")
    except KeyboardInterrupt:
        return (*told, "The costs were not measured: interrupted.")
    return told


def _native_where_proven(
    store: Store, cells: Sequence[Cell], observations: Observations
) -> tuple[dict[str, tuple[RuntimeName, ...]], tuple[str, ...]]:
    """Runtimes of each cell, the first two of which are compared under both; ONNX Runtime alone if one has no other."""
    for cell in cells:
        record = store.artifact(cell.key)
        if record is None:
            continue
        try:
            proven((store.folder / record.path).read_bytes(), NATIVE, observations)
        except PolicypressError as error:
            notice = f"The costs are those under ONNX Runtime: {cell.recipe} has no native form here. {error}"
            return {cell.key: (ONNXRUNTIME,) for cell in cells}, (notice,)
    both, native = (NATIVE, ONNXRUNTIME), (NATIVE,)
    return {cell.key: both if index < 2 else native for index, cell in enumerate(cells)}, ()
