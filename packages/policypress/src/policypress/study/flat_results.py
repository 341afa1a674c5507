"""One row of plain values for each cell of a study that has ended: what other tools are given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any

from policypress.engine.store.reader import AgentRow, CellResult, StoreReader
from policypress.engine.tasks.costs import CPU_PER_ACTION, CPU_PER_EPISODE, OTHERS
from policypress.records import Measurement

_SPECIAL = ("qat", "sparse", "prune")


@dataclass(frozen=True)
class FlatResult:
    """A cell: what it is of, how it ended, and what was found; what is not known, or is of another kind, is None.

    ``trained`` says how the study trained the agent: ``plain``, ``qat``, ``sparse``, ``prune``; None where it was
    given.
    ``return_std`` is the sample standard deviation over episodes. Of costs the median sample stands here; ``energy_*``
    are measured or modelled as ``energy_source`` says. Units are SI.
    """

    cell_key: str
    kind: str
    status: str
    updated_at: str
    recipe: str
    error: str | None = None
    label: str | None = None
    algorithm: str | None = None
    environment: str | None = None
    trained: str | None = None
    training_seed: int | None = None
    training_steps: int | None = None
    runtime: str | None = None
    episodes: int | None = None
    return_mean: float | None = None
    return_std: float | None = None
    length_mean: float | None = None
    episode_cpu_s: float | None = None
    packed_bytes: int | None = None
    file_bytes: int | None = None
    parameters: int | None = None
    macs: int | None = None
    channel_ratio: float | None = None
    parameter_ratio: float | None = None
    action_error: float | None = None
    build_s: float | None = None
    latency_warm_s: float | None = None
    latency_cold_s: float | None = None
    peak_rss_bytes: float | None = None
    cpu_per_action_s: float | None = None
    cpu_per_episode_s: float | None = None
    energy_per_action_j: float | None = None
    energy_per_episode_j: float | None = None
    energy_source: str | None = None
    others_busy_cores: float | None = None


_OF_ARTIFACT = (
    "packed_bytes",
    "file_bytes",
    "parameters",
    "macs",
    "channel_ratio",
    "parameter_ratio",
    "action_error",
    "build_s",
)
_OF_COSTS = {
    ("latency", "warm"): "latency_warm_s",
    ("latency", "cold"): "latency_cold_s",
    ("peak_rss", None): "peak_rss_bytes",
    (CPU_PER_ACTION, None): "cpu_per_action_s",
    (CPU_PER_EPISODE, None): "cpu_per_episode_s",
    ("energy_per_action", None): "energy_per_action_j",
    ("energy_per_episode", None): "energy_per_episode_j",
}


def flat_results(store: StoreReader) -> Iterator[FlatResult]:
    """Every cell that is done or has failed, in the order in which cells were planned."""
    for one in store.results():
        row = one.row
        if row.status in ("done", "failed"):
            yield FlatResult(
                cell_key=row.key,
                kind=row.cell.kind,
                status=row.status,
                updated_at=row.updated_at,
                recipe=row.cell.recipe,
                error=None if row.failure is None else row.failure.message,
                environment=one.environment_id or None,
                runtime=None if row.cell.kind in ("random", "agent") else row.cell.protocol.runtime,
                **_agent(one.agent),
                **_played(one),
                **({} if one.artifact is None else {name: getattr(one.artifact, name) for name in _OF_ARTIFACT}),
                **_cost(one.measurements),
            )


def _agent(agent: AgentRow | None) -> dict[str, Any]:
    if agent is None:
        return {}
    found: dict[str, Any] = {"label": agent.training.get("label") or None, "algorithm": agent.algorithm}
    spec = agent.training.get("spec")
    if isinstance(spec, dict):
        special = [name for name in _SPECIAL if spec.get(name) is not None]
        trained = "+".join(special) or "plain"
        found |= {"trained": trained, "training_seed": spec.get("seed"), "training_steps": spec.get("steps")}
    return found


def _played(one: CellResult) -> dict[str, Any]:
    if not one.episodes:
        return {}
    return {
        "episodes": len(one.episodes),
        "return_mean": fmean(one.returns),
        "return_std": stdev(one.returns) if len(one.returns) > 1 else None,
        "length_mean": fmean(one.lengths),
        "episode_cpu_s": fmean(episode.cpu_s for episode in one.episodes),
    }


def _cost(rows: Sequence[Measurement]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in rows:
        name = _OF_COSTS.get((row.quantity, row.protocol.get("cache")))
        if name is not None and row.samples:
            found[name] = float(median(row.samples))
            if row.quantity == "energy_per_action":
                found["energy_source"] = row.source
        if OTHERS in row.protocol:
            found["others_busy_cores"] = float(row.protocol[OTHERS])
    return found
