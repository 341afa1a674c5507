"""What this distribution does for studies: :class:`policypress.training_package.TrainingServices`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from policypress.training_package import PlannedTraining, TrainedAgent, TrainingProgress, TrainingRequest
from policypress_train import extractors, qat
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.outputs import output_paths
from policypress_train.qat import config, layers, networks, policies
from policypress_train.spec import TrainingSpec
from policypress_train.trainer import TrainOptions, train


def plan(request: TrainingRequest) -> PlannedTraining:
    """The training that ``request`` asks for.

    Raises:
        TrainingInputError: it cannot be trained.
    """
    prepared = prepare(request)
    stored = json.loads(json.dumps(prepared.spec.to_json()))
    return PlannedTraining(stored, prepared.spec.environment, prepared.source, prepared.notices)


def run(planned: PlannedTraining, zip_path: Path, progress: TrainingProgress, fresh: bool) -> TrainedAgent:
    """Train to the end, or take what a training that ended here before has left.

    Args:
        planned: the training.
        zip_path: its zip; its checkpoint and its record lie in the folder of the same name.
        progress: is told how far it is.
        fresh: the caller has done nothing else in this process.
    """
    where = output_paths(zip_path)
    spec = replace(TrainingSpec.from_json(planned.stored), environment=planned.environment)
    options = TrainOptions(stripped=True, fresh_process=fresh)
    record = train(spec, where.zip, source=planned.source, options=options, progress=progress)
    others = {
        path.name: path.read_bytes()
        for path in sorted(where.folder.iterdir())
        if path.is_file() and path != where.policy
    }
    return TrainedAgent(where.policy.read_bytes(), others, record.to_json())


def modules_in_zips() -> Mapping[str, ModuleType]:
    """The modules whose classes stand in the zips of trained agents, by their name below the package."""
    inner = {module.__name__.rpartition(".")[2]: module for module in (config, layers, networks, policies)}
    return {"extractors": extractors, "qat": qat, **{f"qat.{name}": module for name, module in inner.items()}}
