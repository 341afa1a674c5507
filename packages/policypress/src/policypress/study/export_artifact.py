"""Exporting an artifact as it is: the same numbers, as C, as a Python module, or as a copy of the file.

An artifact whose numbers are quantized is the only statement of what it does, so what is written from it is compared
with the file itself (docs/design.md, parity (e) without a policy).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from policypress import seeding
from policypress.agents.applicable import AgentKind, refuse_useless
from policypress.agents.archive import read_bytes
from policypress.agents.onnx_reading.file import MAX_ONNX_BYTES
from policypress.agents.overrides import Overrides
from policypress.engine.tasks.calibration import Counts, counts_for
from policypress.environments.batches import ObservationBatch, joined, take
from policypress.environments.extremes import draw, extremes
from policypress.environments.observations import RecordedObservations, visited
from policypress.export.c_source import ProvenSource, c_name, prove_c, publish_c
from policypress.export.extension_module import SUFFIX, publish_extension
from policypress.export.form import HOST, PLAIN, Form
from policypress.export.lite_file import SUFFIX as TFLITE
from policypress.export.lite_file import publish_tflite
from policypress.export.packages.registry import check_folder, package_of, publish_package
from policypress.export.parity import ParityReport, check_parity
from policypress.export.publish import ProvenArtifact, publish
from policypress.measurement.evaluation import environment_of
from policypress.measurement.returns import actor_of
from policypress.measurement.sizes import packed_bytes
from policypress_runtime.codegen.targets import target_of
from policypress_runtime.contract import Contract, EnvironmentSpec
from policypress_runtime.errors import ArtifactError, InputError, NetworkError
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime
from policypress_runtime.runtimes.stated_contract import contract_of_file
from policypress_runtime.sidecar import check_pair


@dataclass(frozen=True)
class ExportedArtifact:
    """What was written from an artifact, and how well it matches; ``c`` is set where it is C."""

    contract: Contract
    sha256: str
    file_bytes: int
    packed_bytes: int
    parity: ParityReport
    c: ProvenSource | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        recipe = {"recipe": self.contract.recipe, "recipe_hash": self.contract.recipe_hash}
        return {**recipe, "sha256": self.sha256, "file_bytes": self.file_bytes, "packed_bytes": self.packed_bytes}


def quantized_artifact(path: str | Path) -> Contract | None:
    """The contract of the artifact at ``path`` if its numbers are quantized; None for everything else."""
    if not str(path).lower().endswith(".onnx") or not Path(path).is_file():
        return None
    try:
        contract = contract_of_file(Path(path))
    except ArtifactError:
        # What carries no contract, or a damaged one, is an agent for its readers to judge.
        return None
    return None if contract.precision == "fp32" else contract


def refuse_recipe(recipe: str, path: str | Path, contract: Contract) -> None:
    """Refuse to compress what is compressed.

    Raises:
        InputError: ``recipe`` is any but ``none``.
    """
    if recipe.strip() != "none":
        raise InputError(
            f"{Path(path).name} is an artifact that is quantized already; another recipe cannot be applied to it.",
            got=f"recipe {recipe}, and an artifact of {contract.recipe}",
            expected="no recipe, which writes the artifact as it is",
            hint="Leave --recipe out, or give the agent that the artifact was made from.",
        )


def export_artifact(
    path: Path,
    output: Path,
    *,
    env: EnvironmentSpec | str | None = None,
    observations: Path | None = None,
    overrides: Overrides,
    seed: int = 0,
    form: Form = PLAIN,
    plays: bool = True,
) -> ExportedArtifact:
    """Write the artifact at ``path`` to ``output``: ``.onnx``, ``.tflite``, ``.c`` with its header, ``.so``, a folder.

    It is compared with the file on recorded observations, on those that it meets in its environment, or, without
    either (or where it shall not play), on drawn ones; and on extreme ones.

    Raises:
        InputError: the artifact, the environment or the observations cannot be used.
        NetworkError: it has a memory, or no C can be written for it.
        ParityError: the output would not do what the artifact does; nothing is written.
    """
    if form.package is not None:
        package_of(form.package)
        check_folder(output)
    artifact, met = proven_from(path, env=env, observations=observations, overrides=overrides, seed=seed, plays=plays)
    parity, source = written_as(artifact, met, output, form)
    size = len(source.source.c.encode()) if source is not None else output.stat().st_size
    packed = packed_bytes(onnx.load_model_from_string(artifact.model))
    return ExportedArtifact(artifact.contract, artifact.sha256, size, packed, parity, source)


def proven_from(
    path: Path,
    *,
    env: EnvironmentSpec | str | None = None,
    observations: Path | None = None,
    overrides: Overrides,
    seed: int = 0,
    plays: bool = True,
) -> tuple[ProvenArtifact, ObservationBatch]:
    """The artifact at ``path``, proven against itself, and the observations; see :func:`export_artifact`."""
    model = read_bytes(path, limit_bytes=MAX_ONNX_BYTES)
    runtime = OnnxRuntime(model)
    contract = runtime.contract
    check_pair(path)
    refuse_useless(overrides, AgentKind.ACTING, path.name)
    if contract.state:
        raise NetworkError(
            "A quantized artifact with memory cannot be exported again yet.",
            got=f"the state {', '.join(spec.name for spec in contract.state)}",
            expected="an artifact without memory",
            hint=f'Export the agent that it was made from: --recipe "{contract.recipe}".',
        )
    met = _observations(runtime, env, observations, seed, plays)
    return ProvenArtifact(model, contract, check_parity(None, model, met)), met


def written_as(
    artifact: ProvenArtifact, met: ObservationBatch, output: Path, form: Form
) -> tuple[ParityReport, ProvenSource | None]:
    """Prove one form of ``artifact`` on ``met`` and write it to ``output``; the C, where it is C or around it."""
    if form.package is not None:
        source = publish_package(artifact, met, output, form)
        return source.parity or artifact.parity, source
    if output.suffix == ".c":
        source = prove_c(artifact, met, target_of(form.target or HOST), c_name(output))
        publish_c(source, output)
        return source.parity or artifact.parity, source
    if output.suffix == TFLITE:
        return publish_tflite(artifact, met, output), None
    if output.suffix == SUFFIX:
        return publish_extension(artifact, met, output), None
    publish(artifact, output)
    return artifact.parity, None


def _observations(
    runtime: OnnxRuntime, env: EnvironmentSpec | str | None, recorded: Path | None, seed: int, plays: bool
) -> ObservationBatch:
    """Recorded, met or drawn ones, and extreme ones beside them."""
    space = runtime.contract.observation_space
    counts, rng = counts_for(space), seeding.generator(seed, seeding.PARITY)
    if recorded is not None:
        batch = take(RecordedObservations.load(recorded, space).batch, slice(0, counts.parity_visited))
    elif plays and (env is not None or runtime.contract.environment is not None):
        batch = _met(runtime, env, counts, seed)
    else:
        batch = draw(space, counts.parity_visited, rng)
    return joined(batch, extremes(space, batch, counts.parity_extreme, rng))


def _met(runtime: OnnxRuntime, env: EnvironmentSpec | str | None, counts: Counts, seed: int) -> ObservationBatch:
    _, factory, limit, _ = environment_of(runtime, env, None)
    count, purpose = counts.parity_visited, seeding.PARITY
    return visited(factory, actor_of(runtime), count=count, seed=seed, purpose=purpose, episodes=1, max_steps=limit)
