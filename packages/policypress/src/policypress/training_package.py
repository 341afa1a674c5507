"""The door to ``policypress-train``, a distribution of its own: nothing here imports it by name.

It states what it offers as entry points of the group ``policypress.training``: ``services``, which trains what a study
asks for, and ``command``, the module of ``policypress train``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Literal, Protocol

from policypress_runtime.errors import MissingDependencyError

if TYPE_CHECKING:
    # The command line asks for the command before it knows whether it runs.
    from pathlib import Path
    from types import ModuleType

    from policypress_runtime.contract import EnvironmentSpec

GROUP = "policypress.training"

Update = Literal["auto", "fast", "native", "stock"]


@dataclass(frozen=True)
class TrainingRequest:
    """What a user states of a training; what is left out is as published.

    Args:
        algorithm: its name.
        environment: id, arguments, wrappers; an old id is replaced by its successor.
        steps: environment steps; the published number if None.
        seed: of everything random.
        device: where to compute.
        overrides: hyperparameters that replace published ones.
        qat: settings of quantization-aware training by name (or the ``QatConfig`` that they make), or None.
        update: how gradient steps are computed.
        kernels: name of the native update's kernel set that alone may learn; ``auto`` then is ``native``.
        start_from: the zip of a trained agent to fine-tune.
        start_normalizer: the normalisation statistics of that agent, or ``none``; looked for where left out.
        sparse: ``alpha`` and ``strength`` of the group-sparsity regulariser, as far as stated; None for none.
        prune: share of the acting weights to prune gradually.
        episodes: end the training after this many episodes instead of a number of steps; by default the
            published number, if the source counts episodes and no steps are given.
        by: whose hyperparameters: ``zoo``, or a publication's name.
    """

    algorithm: str
    environment: EnvironmentSpec
    steps: int | None = None
    seed: int = 0
    device: str = "cpu"
    overrides: Iterable[tuple[str, Any]] = ()
    qat: Any = None
    update: Update = "fast"
    kernels: str | None = None
    start_from: Path | None = None
    start_normalizer: str | None = None
    sparse: Iterable[tuple[str, Any]] | None = None
    prune: float | None = None
    episodes: int | None = None
    by: str = "zoo"


class TrainingProgress(Protocol):
    """Receives a training's progress: in steps, or in episodes if those are its budget."""

    def started(self, steps: int, total: int, exact: bool | None) -> None:
        """The training starts at ``steps``; ``exact``: whether it was resumed exactly, None if it was not resumed."""

    def advanced(self, steps: int) -> None:
        """``steps`` environment steps are done."""

    def evaluated(self, evaluation: Any) -> None:
        """An evaluation is done."""


@dataclass(frozen=True)
class PlannedTraining:
    """A training as a study keeps it.

    Args:
        stored: its JSON, from which it can be trained.
        environment: with the user's word for the module that makes it, which no JSON holds.
        source: where its hyperparameters come from.
        notices: for the user.
    """

    stored: dict[str, Any]
    environment: EnvironmentSpec
    source: str
    notices: tuple[str, ...]


@dataclass(frozen=True)
class TrainedAgent:
    """What a training left.

    Args:
        policy: the zip of the acting networks.
        others: the other files of its folder, by name.
        record: JSON of how it went.
    """

    policy: bytes
    others: Mapping[str, bytes]
    record: dict[str, Any]


class TrainingServices(Protocol):
    """What ``policypress-train`` does for studies."""

    def plan(self, request: TrainingRequest) -> PlannedTraining:
        """The training that a request asks for, checked; TrainingInputError where it cannot be trained."""

    def run(self, planned: PlannedTraining, zip_path: Path, progress: TrainingProgress, fresh: bool) -> TrainedAgent:
        """Train to the end, or go on where an earlier run was interrupted; the checkpoint lies beside ``zip_path``."""

    def modules_in_zips(self) -> Mapping[str, ModuleType]:
        """The modules whose classes stand in the zips of trained agents, by their name below the package."""


def training_services() -> TrainingServices:
    """The services of the installed ``policypress-train``.

    Raises:
        MissingDependencyError: it is not installed.
    """
    services: TrainingServices = _offered("services")
    return services


def training_command() -> Any:
    """The module of ``policypress train``.

    Raises:
        MissingDependencyError: it is not installed.
    """
    return _offered("command")


def _offered(name: str) -> Any:
    for entry in entry_points(group=GROUP, name=name):
        return entry.load()
    raise MissingDependencyError(
        "Training is a distribution of its own, which is not installed.",
        expected="policypress-train",
        hint="pip install policypress-train (from a checkout: pip install ./packages/policypress-train)",
    )
