"""Builds a spec from user input: published hyperparameters, overrides, a current environment id."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

from policypress.agents.archive import read_bytes, sha256_of
from policypress.environments.identifiers import module_of, resolve
from policypress.training_package import TrainingRequest
from policypress_runtime.contract import EnvironmentSpec, WrapperSpec
from policypress_runtime.errors import TrainingInputError
from policypress_train.algorithms import algorithm
from policypress_train.hyperparameters.defaults import published
from policypress_train.hyperparameters.settings import check, merge
from policypress_train.native.compiled import SETS
from policypress_train.qat.config import QatConfig
from policypress_train.sparse.sparsity import ALPHA, STRENGTH
from policypress_train.spec import TrainingSpec, Update
from policypress_train.vector_envs.normalisation import statistics_bytes

_WRAPPER = "env_wrapper"
_ALE = "ALE/"


@dataclass(frozen=True)
class Prepared:
    """A spec, the source of its hyperparameters, and notices for the user."""

    spec: TrainingSpec
    source: str
    notices: tuple[str, ...] = ()


def prepare(request: TrainingRequest) -> Prepared:
    """The spec of a training.

    Raises:
        AgentError: the agent to start from cannot be read.
        TrainingInputError: no such algorithm, publication or kernels, a hyperparameter it cannot use, or no steps.
        UnknownEnvironmentError: no such environment.
    """
    chosen = algorithm(request.algorithm)
    resolved = resolve(request.environment.id)
    trained = None if resolved.id == request.environment.id else request.environment.id
    environment = replace(request.environment, id=resolved.id, trained_id=trained)
    found = published(chosen.name, environment, request.by)
    overrides = tuple(request.overrides)
    hyperparameters = merge(found.hyperparameters, overrides)
    check(chosen, hyperparameters)
    _check_budget("steps", request.steps)
    _check_budget("episodes", request.episodes)
    environment = _wrapped(environment, hyperparameters)
    kernels, start = request.kernels, request.start_from
    unstated = request.episodes is None and request.steps is None
    spec = TrainingSpec(
        algorithm=chosen.name,
        environment=environment,
        steps=found.steps if request.steps is None else request.steps,
        seed=request.seed,
        device=request.device,
        hyperparameters=_plain(hyperparameters),
        update=request.update if kernels is None else _update_of(kernels, request.update),
        kernels=kernels,
        qat=QatConfig(**request.qat) if isinstance(request.qat, Mapping) else request.qat,
        start_from=None if start is None else str(start),
        start_sha256=_start_sha256(start, request.start_normalizer),
        start_normalizer=request.start_normalizer,
        sparse=None if request.sparse is None else _sparse(request.sparse),
        prune=request.prune,
        episodes=found.episodes if unstated else request.episodes,
    )
    notices = [] if resolved.notice is None else [resolved.notice]
    if not found.specific:
        notices.append(f"no hyperparameters of {chosen.name} are published for {environment.id}: the defaults are used")
    return Prepared(spec, _source(found.source, found.entry, overrides), tuple(notices))


def _check_budget(unit: str, count: int | None) -> None:
    if count is not None and count < 1:
        raise TrainingInputError(f"A training needs a positive number of {unit}.", got=str(count), expected="1 or more")


def _start_sha256(start_from: Path | None, normalizer: str | None) -> str | None:
    if start_from is not None:
        return sha256_of(read_bytes(start_from) + statistics_bytes(start_from, normalizer))
    if normalizer is not None:
        raise TrainingInputError(
            "Statistics are stated of the agent that a training starts from, and it starts from none.",
            got=f"--normalizer {normalizer}",
            expected="--from beside it",
            hint="Leave the option out; --set normalize=true learns statistics of its own.",
        )
    return None


def _sparse(stated: Iterable[tuple[str, Any]]) -> dict[str, float]:
    values = {"alpha": ALPHA, "strength": STRENGTH, **dict(stated)}
    wrong = [f"{name}={value!r}" for name, value in values.items() if not _is_factor(name, value)]
    if wrong:
        raise TrainingInputError(
            "Group-sparse training has no such setting.",
            got=", ".join(wrong),
            expected="alpha or strength, 0 or more",
        )
    return {name: float(value) for name, value in values.items()}


def _is_factor(name: str, value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return name in ("alpha", "strength") and number and 0 <= value < math.inf


def qat_config(stated: Iterable[tuple[str, Any]]) -> QatConfig:
    """A ``QatConfig`` from the given fields, the others by default.

    Raises:
        TrainingInputError: no such field, or a value it cannot have.
    """
    names = [field.name for field in fields(QatConfig)]
    values = dict(stated)
    for name, value in values.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
            raise TrainingInputError(
                f"Quantization-aware training has no setting {name!r}.",
                got=f"{name}={value!r}",
                expected=", ".join(names),
                hint=f"Did you mean {near[0]}?" if near else None,
            )
    return QatConfig(**values)


def checked_update(text: str) -> Update:
    """The update of this name.

    Raises:
        TrainingInputError: there is none.
    """
    names: tuple[Update, ...] = get_args(Update)
    for name in names:
        if text == name:
            return name
    raise TrainingInputError("There is no such update.", got=text, expected=", ".join(names))


def _update_of(kernels: str, update: Update) -> Update:
    """The update that has these kernels; there is no silent fallback."""
    names = [known.name for known in SETS]
    if kernels not in names:
        raise TrainingInputError("There are no such kernels.", got=kernels, expected=", ".join(names))
    if update not in ("auto", "native"):
        raise TrainingInputError(
            "Only the native update has kernels.",
            got=f"kernels {kernels} with the update {update}",
            expected="the update native, or no kernels",
            hint="Leave one of the two out.",
        )
    return "native"


def _wrapped(environment: EnvironmentSpec, hyperparameters: dict[str, Any]) -> EnvironmentSpec:
    """The wrapper that the hyperparameters name stands innermost, and is the environment's from here on."""
    name = hyperparameters.pop(_WRAPPER, None)
    if name is None or any(wrapper.name == name for wrapper in environment.wrappers):
        return environment
    environment = replace(environment, wrappers=(WrapperSpec(name), *environment.wrappers))
    if name == "AtariWrapper" and environment.id.startswith(_ALE) and module_of(environment.id) is None:
        # These skip frames themselves, and the wrapper does.
        kwargs = {"frameskip": 1, **dict(environment.kwargs)}
        environment = replace(environment, kwargs=tuple(kwargs.items()))
    return environment


def _plain(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """In the order of their names, tuples as lists, so that equal settings have equal JSON."""
    return {name: _listed(hyperparameters[name]) for name in sorted(hyperparameters)}


def _listed(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_listed(item) for item in value]
    if isinstance(value, dict):
        return {name: _listed(value[name]) for name in sorted(value)}
    return value


def _source(source: str, entry: str, overrides: Iterable[tuple[str, Any]]) -> str:
    stated = ", ".join(f"{name}={value!r}" for name, value in overrides)
    return f"{source} ({entry})" + (f"; stated: {stated}" if stated else "")
