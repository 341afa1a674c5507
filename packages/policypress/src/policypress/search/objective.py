"""The objective of a search: bytes and multiply-accumulates are computed, latency and energy are measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from policypress.measurement.costs.energy import PER_ACTION
from policypress.measurement.costs.measuring import CostProtocol, measure_costs
from policypress.records import ArtifactRecord, Measurement
from policypress.search.history import Minimize
from policypress_runtime.runtimes.protocol import NATIVE, RuntimeName

BASELINE = "none"
# Enough to rank by; what the report shows is measured at length afterwards.
QUICK = CostProtocol(warm_samples=2000, cold_samples=10, windows=3, processes=1)


class Objective:
    """Gives recipes their value, smaller is better.

    ``size`` is packed bytes, ``macs`` are multiply-accumulates of one action. ``latency`` (median, warm) and ``energy``
    (of one action) are shares of the baseline's in the same run, because machines drift between runs; a share is asked
    for once. They are those under ``runtime``; where a recipe has no native form, those under ONNX Runtime.
    """

    def __init__(
        self,
        minimize: Minimize,
        folder: Path,
        *,
        seed: int = 0,
        watts_per_core: float | None = None,
        runtime: RuntimeName = NATIVE,
        on_step: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.minimize = minimize
        self._folder = folder
        self._seed = seed
        self._watts_per_core = watts_per_core
        self._runtime = runtime
        self._on_step = on_step
        self._shares: dict[str, float] = {}

    @property
    def measured(self) -> bool:
        """Whether values have to be measured, with nothing else at work."""
        return self.minimize in ("latency", "energy")

    def values(self, records: Mapping[str, ArtifactRecord]) -> dict[str, float]:
        """The value of each recipe; the baseline has to be among them.

        Raises:
            ExecutionError: a fresh process with an artifact failed.
        """
        match self.minimize:
            case "size":
                return {text: float(record.packed_bytes) for text, record in records.items()}
            case "macs":
                return {text: float(record.macs) for text, record in records.items()}
        new = {text: record for text, record in records.items() if text not in self._shares}
        if new:
            files = {text: self._folder / record.path for text, record in {**records, **new}.items() if text in new}
            files[BASELINE] = self._folder / records[BASELINE].path
            self._take(files)
        return {text: self._shares[text] for text in records}

    def _take(self, files: Mapping[str, Path]) -> None:
        # Without names the best that each can have acts.
        runtimes = None if self._runtime == NATIVE else dict.fromkeys(files, self._runtime)
        found = measure_costs(
            files, QUICK, runtimes, seed=self._seed, watts_per_core=self._watts_per_core, on_step=self._on_step
        )
        costs = {text: self._of(rows) for text, rows in found.items()}
        self._shares |= {text: cost / costs[BASELINE] for text, cost in costs.items()}

    def _of(self, rows: tuple[Measurement, ...]) -> float:
        quantity = "latency" if self.minimize == "latency" else PER_ACTION
        samples = next(row.samples for row in rows if row.quantity == quantity and row.protocol.get("cache") != "cold")
        return float(np.median(samples))
