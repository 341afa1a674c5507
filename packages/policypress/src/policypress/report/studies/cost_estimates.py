"""What acting costs over training seeds: latency, memory, energy and sizes, each beside its baseline's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from policypress.measurement.statistics import Missing
from policypress.records import Source
from policypress.report.costs import Energy, Latency, Memory
from policypress.report.studies.estimates import MaybeEstimate
from policypress.report.studies.over_seeds import mean_of, mean_of_numbers, share_of
from policypress.report.studies.runs import BySeedRuns, Run, lengths_by_seed, reason_for


@dataclass(frozen=True)
class Cost:
    """One cost of a variant.

    Attributes:
        absolute: in SI units; mean over training seeds.
        relative: ratio to the same agents' fp32 baseline under the same runtime, measured in the same run.
        source: whether it was measured or modelled; must be shown beside. None where there is no number.
    """

    absolute: MaybeEstimate
    relative: MaybeEstimate
    source: Source | None = None


def costs(runs: BySeedRuns, own: BySeedRuns, plain: BySeedRuns, *, paired: bool) -> dict[str, Cost]:
    """Every cost of ``runs``, relative to ``own``, the fp32 form of the same agents; episodes' lengths to ``plain``."""
    found = {name: _cost(read, runs, own) for name, read in _QUANTITIES.items()}
    lengths, base = lengths_by_seed(runs), lengths_by_seed(plain)
    reason = reason_for(runs)
    relative = share_of(lengths, base, paired=paired, reason=reason)
    return {**found, "episode_length": Cost(mean_of(lengths, reason), relative, "measured" if lengths else None)}


def _cost(read: Callable[[Run], tuple[float, Source] | None], runs: BySeedRuns, own: BySeedRuns) -> Cost:
    known = {seed: value for seed, run in runs.items() if (value := read(run)) is not None}
    bases = {seed: value for seed, run in own.items() if (value := read(run)) is not None}
    ratios = {
        seed: value / bases[seed][0]
        for seed, (value, source) in known.items()
        # A modelled value is no share of a measured one.
        if seed in bases and bases[seed][0] > 0 and bases[seed][1] == source
    }
    sources: set[Source] = {source for _, source in known.values()}
    source: Source | None = None if not sources else "modelled" if "modelled" in sources else "measured"
    values = {seed: value for seed, (value, _) in known.items()}
    return Cost(mean_of_numbers(values, "not measured"), mean_of_numbers(ratios, "not measured"), source)


def _latency(run: Run) -> tuple[float, Source] | None:
    return (run.costs.latency.warm_s["p50"], "measured") if isinstance(run.costs.latency, Latency) else None


def _peak_rss(run: Run) -> tuple[float, Source] | None:
    return (float(run.costs.memory.peak_rss_bytes), "measured") if isinstance(run.costs.memory, Memory) else None


def _cpu(run: Run) -> tuple[float, Source] | None:
    value = run.costs.cpu_s_per_action
    return None if isinstance(value, Missing) else (value, "measured")


def _energy_per_action(run: Run) -> tuple[float, Source] | None:
    energy = run.costs.energy
    return (energy.per_action_j, energy.source) if isinstance(energy, Energy) else None


def _energy_per_episode(run: Run) -> tuple[float, Source] | None:
    energy = run.costs.energy
    if not isinstance(energy, Energy):
        return None
    if energy.per_episode_j is not None:
        return energy.per_episode_j, energy.source
    return (energy.per_action_j * float(np.mean(run.lengths)), energy.source) if run.lengths else None


def _of_artifact(name: str) -> Callable[[Run], tuple[float, Source] | None]:
    def read(run: Run) -> tuple[float, Source] | None:
        return None if run.artifact is None else (float(getattr(run.artifact, name)), "measured")

    return read


_QUANTITIES: dict[str, Callable[[Run], tuple[float, Source] | None]] = {
    "latency": _latency,
    "peak_rss": _peak_rss,
    "cpu_per_action": _cpu,
    "energy_per_action": _energy_per_action,
    "energy_per_episode": _energy_per_episode,
    "packed_bytes": _of_artifact("packed_bytes"),
    "file_bytes": _of_artifact("file_bytes"),
    "parameters": _of_artifact("parameters"),
}
