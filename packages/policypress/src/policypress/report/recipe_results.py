"""One row per recipe, from the store alone: sizes, returns, costs, and what is kept of the baseline's return."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from policypress.engine.store.reader import CellRow, Status, StoreReader
from policypress.measurement.statistics import (
    Interval,
    Missing,
    lu_90_percent_rule,
    mean_return,
    retention,
    return_ratio,
)
from policypress.records import ArtifactRecord
from policypress.report.costs import Costs, read_costs, runtimes_of
from policypress.search.history import CandidateResult
from policypress_runtime.contract import Quantity

RANDOM = "random"
BASELINE = "none"
_BUILT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*\.onnx")
_HASH = re.compile(r"[0-9a-f]{8}")
_SIZES = {
    "size_bytes": "file_bytes",
    "packed_bytes": "packed_bytes",
    "parameters": "parameters",
    "macs": "macs",
    "channel_ratio": "channel_ratio",
    "parameter_ratio": "parameter_ratio",
    "action_error": "action_error",
}


@dataclass(frozen=True)
class RecipeResult:
    """What is known of one recipe (or of the random policy).

    ``failure`` says why there is nothing; ``steps`` are the recipe's, in JSON form; ``file`` is the artifact's name in
    the output folder; ``returns`` are raw, one per episode of ``seeds``; ratio, retention and the 90 % rule compare
    with the baseline on the same seeds. ``tried`` says how far it came, where a search tried it. ``costs`` are those
    under the native runtime, where it was measured; ``other_runtimes`` the costs under the others, by their names.
    """

    name: str
    status: str
    failure: str | None
    steps: tuple[Mapping[str, Any], ...]
    artifact: ArtifactRecord | None
    file: str | None
    returns: tuple[float, ...]
    mean: Quantity | Missing
    ratio: Interval | Missing
    retention: Interval | Missing
    keeps_90_percent: bool | Missing
    costs: Costs
    seeds: tuple[int, ...] = ()
    tried: CandidateResult | None = None
    other_runtimes: Mapping[str, Costs] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON form with every field; what is undefined is null, with its reason in ``…_reason``."""
        data: dict[str, Any] = {"recipe": self.name, "status": self.status, "error": self.failure}
        data["artifact"] = self.file
        for key, name in _SIZES.items():
            data[key] = None if self.artifact is None else getattr(self.artifact, name)
        data["returns"] = list(self.returns)
        data["seeds"] = list(self.seeds)
        data["mean_return"] = None if isinstance(self.mean, Missing) else vars(self.mean)
        undefined_ratio = isinstance(self.ratio, Missing)
        data["return_ratio"] = None if isinstance(self.ratio, Missing) else self.ratio.estimate
        data["return_ratio_interval"] = None if undefined_ratio else vars(self.ratio)
        data["retention"] = None if isinstance(self.retention, Missing) else vars(self.retention)
        keeps = self.keeps_90_percent
        data["keeps_90_percent"] = None if isinstance(keeps, Missing) else keeps
        for key, value in (("mean_return", self.mean), ("return_ratio", self.ratio), ("retention", self.retention)):
            if isinstance(value, Missing):
                data[f"{key}_reason"] = value.reason
        others = {name: costs.to_json() for name, costs in self.other_runtimes.items()}
        return {**data, **self.costs.to_json(), "other_runtimes": others}


def read_rows(
    store: StoreReader,
    cells: Mapping[str, str | Sequence[str]],
    tried: Mapping[str, CandidateResult] | None = None,
) -> tuple[RecipeResult, ...]:
    """Rows for ``cells`` (name → key in the store, or several, whose episodes count together), in their order.

    The baseline is named ``none`` and the random reference ``random``. ``tried`` is what a search says of recipes.
    """
    groups = {name: (keys,) if isinstance(keys, str) else tuple(keys) for name, keys in cells.items()}
    stored = {one.row.key: one for one in store.results(key for keys in groups.values() for key in keys)}
    found = {name: [stored[key] for key in keys if key in stored] for name, keys in groups.items()}
    episodes = {name: [row for one in own for row in one.episodes] for name, own in found.items()}
    returns = {name: tuple(row.episode_return for row in rows) for name, rows in episodes.items()}
    artifacts = {
        name: next((one.artifact for one in own if one.artifact is not None), None) for name, own in found.items()
    }
    files = file_names(artifacts)
    baseline, random = returns.get(BASELINE, ()), returns.get(RANDOM, ())
    rows: list[RecipeResult] = []
    for name in groups:
        known = [one.row for one in found[name]]
        own, artifact = returns[name], artifacts[name]
        compared = name != RANDOM
        nothing = Missing("the random policy is the reference")
        measurements = next((costs for row in known if (costs := store.costs_of(row.cell))), ())
        sha256 = None if artifact is None else artifact.sha256
        first, *others = runtimes_of(measurements, sha256) or (None,)
        rows.append(
            RecipeResult(
                name=name,
                status=_status(known),
                failure=next((row.failure.message for row in known if row.failure is not None), None),
                steps=() if not known else tuple(known[0].cell.recipe_json.get("steps", ())),
                artifact=artifact,
                file=files.get(name) if _presented(tried, name) else None,
                returns=own,
                mean=mean_return(own),
                ratio=return_ratio(baseline, own) if compared else nothing,
                retention=retention(baseline, own, random) if compared else nothing,
                keeps_90_percent=lu_90_percent_rule(baseline, own) if compared else nothing,
                costs=read_costs(measurements, sha256, first),
                seeds=tuple(row.seed for row in episodes[name]),
                tried=None if tried is None else tried.get(name),
                other_runtimes={other: read_costs(measurements, sha256, other) for other in others if other},
            )
        )
    return tuple(rows)


def _presented(tried: Mapping[str, CandidateResult] | None, name: str) -> bool:
    """Whether the artifact is put where people look: of a search only those that seemed to be good enough."""
    found = None if tried is None else tried.get(name)
    return found is None or found.stage in ("promising", "certified", "not certified")


def _status(rows: Sequence[CellRow]) -> Status:
    """That of the cell which is worst off."""
    found: set[Status] = {row.status for row in rows}
    order: tuple[Status, ...] = ("failed", "pending", "running", "done")
    return next((status for status in order if status in found), "pending")


def file_names(artifacts: Mapping[str, ArtifactRecord | None]) -> dict[str, str]:
    """Recipe → name of its artifact in the output folder: that of the build, and with the hash where two are alike.

    A store of somebody else may name any file there, or elsewhere; what no build of ours would be called gets another
    name.
    """
    names: dict[str, str] = {}
    for recipe, artifact in artifacts.items():
        if artifact is not None:
            name = PurePosixPath(artifact.path).name
            number = artifact.recipe_hash[:8]
            if not (_BUILT.fullmatch(name) and _HASH.fullmatch(number)):
                number = hashlib.sha256(repr((recipe, artifact)).encode()).hexdigest()[:8]
                name = "artifact.onnx"
            taken = name in names.values()
            names[recipe] = f"{name.removesuffix('.onnx')}-{number}.onnx" if taken else name
    return names
