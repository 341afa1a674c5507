"""One row per recipe, from the store alone: sizes, returns, and what they keep of the baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policypress.contract import Quantity
from policypress.measurement.statistics import (
    Interval,
    Undefined,
    lu_90_percent_rule,
    mean_return,
    retention,
    return_ratio,
)
from policypress.records import ArtifactRecord
from policypress.study.reader import StoreReader

RANDOM = "random"
BASELINE = "none"


@dataclass(frozen=True)
class Row:
    """What is known of one recipe (or of the random policy).

    ``failure`` says why there is nothing; ``returns`` are raw, one per episode; ratio, retention and the 90 % rule
    compare with the baseline on the same seeds.
    """

    name: str
    status: str
    failure: str | None
    artifact: ArtifactRecord | None
    returns: tuple[float, ...]
    mean: Quantity | Undefined
    ratio: Interval | Undefined
    retention: Interval | Undefined
    keeps_90_percent: bool | Undefined

    def to_json(self) -> dict[str, Any]:
        """JSON form; what is undefined is null, with its reason beside it."""
        data: dict[str, Any] = {"recipe": self.name, "status": self.status}
        if self.failure is not None:
            data["error"] = self.failure
        if self.artifact is not None:
            data |= {
                "artifact": self.artifact.path,
                "size_bytes": self.artifact.file_bytes,
                "packed_bytes": self.artifact.packed_bytes,
                "parameters": self.artifact.parameters,
                "macs": self.artifact.macs,
                "channel_ratio": self.artifact.channel_ratio,
                "parameter_ratio": self.artifact.parameter_ratio,
                "action_error": self.artifact.action_error,
            }
        data["returns"] = list(self.returns)
        for key, value in (("mean_return", self.mean), ("return_ratio", self.ratio), ("retention", self.retention)):
            data[key] = None if isinstance(value, Undefined) else vars(value)
            if isinstance(value, Undefined) and self.returns:
                data[f"{key}_undefined"] = value.reason
        return data


def read_rows(store: StoreReader, cells: Mapping[str, str]) -> tuple[Row, ...]:
    """Rows for ``cells`` (name → key in the store), in their order.

    The baseline is the cell named ``none`` and the random reference the one named ``random``.
    """
    returns = {name: tuple(e.episode_return for e in store.episodes(key)) for name, key in cells.items()}
    baseline, random = returns.get(BASELINE, ()), returns.get(RANDOM, ())
    rows: list[Row] = []
    for name, key in cells.items():
        cell = store.cell(key)
        own = returns[name]
        compared = name != RANDOM
        nothing = Undefined("the random policy is the reference")
        rows.append(
            Row(
                name=name,
                status="pending" if cell is None else cell.status,
                failure=None if cell is None or cell.failure is None else cell.failure.message,
                artifact=store.artifact(key),
                returns=own,
                mean=mean_return(own),
                ratio=return_ratio(baseline, own) if compared else nothing,
                retention=retention(baseline, own, random) if compared else nothing,
                keeps_90_percent=lu_90_percent_rule(baseline, own) if compared else nothing,
            )
        )
    return tuple(rows)
