"""The trainings of the study, from its database: what each seed returned, episode by episode, and what it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from policypress.engine.store.reader import CellResult, StoreReader
from policypress.records import ArtifactRecord
from policypress.report.studies.wording import short_name

Form = Literal["fp32", "qat"]
FORMS: tuple[Form, ...] = ("fp32", "qat")
_RECIPES: dict[Form, str] = {"fp32": "none", "qat": "qat"}


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        seed: of the training.
        returns: of its episodes, in order, with the actions that explored.
        record: the whole training record, as JSON.
        evaluated: returns of the deterministic episodes of its artifact (fp32, or int8 after QAT); empty where they are
            not played yet.
        artifact: that artifact, if it is built.
    """

    seed: int
    returns: tuple[float, ...]
    record: Mapping[str, Any]
    evaluated: tuple[float, ...] = ()
    artifact: ArtifactRecord | None = None

    @property
    def memory(self) -> Mapping[str, Any]:
        """The memory of its process, in bytes, by part."""
        found: Mapping[str, Any] = self.record["memory"]
        return found


@dataclass(frozen=True)
class Task:
    """An algorithm in an environment: its trainings in both forms, by seed.

    Attributes:
        planned: number of trainings that the study asks for, by form.
    """

    algorithm: str
    environment_id: str
    runs: Mapping[Form, tuple[Run, ...]]
    planned: Mapping[Form, int]

    @property
    def environment(self) -> str:
        """The environment as the paper names it.

        >>> Task("dqn", "ALE/Pong-v5", {}, {}).environment
        'Pong'
        """
        return short_name(self.environment_id)

    @property
    def episodes(self) -> int:
        """Episodes that every training of it has."""
        return min((len(run.returns) for form in FORMS for run in self.runs.get(form, ())), default=0)

    def returns(self, form: Form) -> tuple[tuple[float, ...], ...]:
        """Of each seed, the episodes that all trainings of the task have."""
        return tuple(run.returns[: self.episodes] for run in self.runs.get(form, ()))


def read_tasks(store: StoreReader) -> tuple[Task, ...]:
    """Every task of the study, in the order of its file."""
    records = store.trainings()
    played = {
        (one.row.cell.agent_sha256 or "", one.row.cell.recipe): one
        for one in store.results()
        if one.done and one.row.cell.kind in ("baseline", "variant")
    }
    found: dict[tuple[str, str], dict[Form, list[Run]]] = {}
    planned: dict[tuple[str, str], dict[Form, int]] = {}
    for identity, spec in _specs(store).items():
        key = (str(spec["algorithm"]), str(spec["environment"]["id"]))
        form: Form = "fp32" if spec.get("qat") is None else "qat"
        runs = found.setdefault(key, {"fp32": [], "qat": []})
        counts = planned.setdefault(key, {"fp32": 0, "qat": 0})
        counts[form] += 1
        if identity in records:
            runs[form].append(_run(records[identity], played.get((identity, _RECIPES[form]))))
    return tuple(
        Task(*key, {form: tuple(sorted(runs[form], key=lambda run: run.seed)) for form in FORMS}, planned[key])
        for key, runs in sorted(found.items(), key=lambda item: _ORDER.get(item[0][1], len(_ORDER)))
    )


_ORDER = {
    name: place
    for place, name in enumerate(
        ("CartPole-v0", "LunarLander-v3", "Pendulum-v1", "LunarLanderContinuous-v3", "ALE/Pong-v5")
    )
}


def _specs(store: StoreReader) -> dict[str, Mapping[str, Any]]:
    """Identity → the training's spec, of agents that the study trains."""
    return {row.sha256: row.training["spec"] for row in store.agents() if isinstance(row.training.get("spec"), Mapping)}


def _run(record: Mapping[str, Any], played: CellResult | None) -> Run:
    return Run(
        seed=int(record["spec"]["seed"]),
        returns=tuple(float(value) for value in record["episodes"]["episode_return"]),
        record=record,
        evaluated=() if played is None else played.returns,
        artifact=None if played is None else played.artifact,
    )
