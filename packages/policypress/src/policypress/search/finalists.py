"""Costs of a search's finalists: the baseline and the best candidates, measured together.

They are measured under the native runtime wherever it can be had, whatever played the episodes: it is the fastest, and
ONNX Runtime, whose own overhead is most of what a small policy takes there, hides what compression does to speed. The
baseline and the best recipe are measured under ONNX Runtime as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from policypress.engine.cells.cell import Cell
from policypress.engine.events import PhaseStarted
from policypress.engine.outcome import RunOutcome
from policypress.engine.store.reader import StoreReader
from policypress.engine.tasks.costs import CostRequest, proven
from policypress.search.history import SearchHistory
from policypress.search.objective import BASELINE, QUICK
from policypress.search.session import Session
from policypress.search.time_budget import slowness
from policypress_runtime.errors import PolicypressError
from policypress_runtime.runtimes.protocol import NATIVE, ONNXRUNTIME, RuntimeName

MOST_MEASURED = 6
"""So many artifacts have their costs measured: those that got furthest."""
_FURTHEST = ("certified", "not certified", "promising", "raced")
Runtimes = Mapping[Cell, Sequence[RuntimeName]]
# Seconds of one artifact under one runtime, its native build included, on one core of a server of 3 GHz.
_FULL_S, _QUICK_S = 7.0, 3.0
OUT_OF_TIME = (
    "The costs were not measured: the budget was over. The same command with a larger --budget-minutes measures them."
)


def finalists(history: SearchHistory) -> list[str]:
    """The baseline and the recipes that got furthest, the winner first among them."""
    furthest = sorted(
        (tried for tried in history.tried if tried.stage in _FURTHEST),
        key=lambda tried: (tried.recipe != history.winner, _FURTHEST.index(tried.stage)),
    )
    return [BASELINE, *(tried.recipe for tried in furthest)][:MOST_MEASURED]


def measure_finalists(
    session: Session, history: SearchHistory, runtime: RuntimeName, request: CostRequest, left_s: float
) -> tuple[str, ...]:
    """Bring the costs of the finalists under ``runtime`` into the store, as many as the time allows.

    Returns:
        Notices.
    """
    if history.ending == "interrupted":
        return ()
    chosen = affordable(finalists(history), request, left_s)
    if chosen is None:
        return (OUT_OF_TIME,)
    names, request = chosen
    rows = [session.store.cell(session.cells[text][0]) for text in names if text in session.cells]
    cells = [row.cell for row in rows if row is not None]
    told: tuple[str, ...] = ()
    asked: Runtimes = {cell: (runtime,) for cell in cells}
    try:
        if runtime == NATIVE:
            session.on_event(PhaseStarted("building for the native runtime"))
            asked, told = _native_where_proven(session, cells)
        measured = measure_together(session, asked, request)
    except KeyboardInterrupt:
        return (*told, "The costs were not measured: interrupted.")
    late = ("The costs were not measured: interrupted.",) if measured.interrupted else ()
    return (*told, *measured.notices, *late)


def affordable(names: Sequence[str], request: CostRequest, left_s: float) -> tuple[Sequence[str], CostRequest] | None:
    """As many of ``names``, measured as thoroughly, as ``left_s`` seconds allow; None where they allow nothing."""
    quick = replace(request, protocol=QUICK)
    factor = slowness()
    for few, how, each_s in ((names, request, _FULL_S), (names[:2], request, _FULL_S), (names[:2], quick, _QUICK_S)):
        # The first two are measured under a second runtime as well.
        if factor * each_s * (len(few) + min(len(few), 2)) <= left_s:
            return few, how
    return None


def least_costs_s() -> float:
    """What the least that is worth measuring takes here, in seconds."""
    return slowness() * _QUICK_S * 4


def measure_together(session: Session, asked: Runtimes, request: CostRequest) -> RunOutcome:
    """Measure the costs of ``asked`` in one run; failures become notices and change nothing else."""
    outcome = session.measure(asked, request)
    failures = dict.fromkeys(failure.message for _, failure in outcome.failed)
    told = tuple(f"The costs were not measured. {message}" for message in failures)
    return RunOutcome(outcome.done, outcome.failed, outcome.left, outcome.interrupted, (*outcome.notices, *told))


def played_under(store: StoreReader, cells: Iterable[Cell]) -> Runtimes:
    """Cells with an artifact → what acts with it in their episodes."""
    records = {cell: record for cell in cells if (record := store.artifact(cell.key)) is not None}
    return {cell: (NATIVE if record.runtime == NATIVE else ONNXRUNTIME,) for cell, record in records.items()}


def _native_where_proven(session: Session, cells: Sequence[Cell]) -> tuple[Runtimes, tuple[str, ...]]:
    """Runtimes of each cell, the first two of which are compared under both; ONNX Runtime alone if one has no other."""
    store = session.store
    for cell in cells:
        record = store.artifact(cell.key)
        if record is None:
            continue
        try:
            proven((store.folder / record.path).read_bytes(), NATIVE, session.materials.parity)
        except PolicypressError as error:
            notice = (
                f"The costs are those under ONNX Runtime: {cell.recipe} has no native build on this machine. {error}"
            )
            return {cell: (ONNXRUNTIME,) for cell in cells}, (notice,)
    both, native = (NATIVE, ONNXRUNTIME), (NATIVE,)
    return {cell: both if index < 2 else native for index, cell in enumerate(cells)}, ()
