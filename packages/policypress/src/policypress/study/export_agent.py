"""Exporting one agent by one recipe to one file, without playing episodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from policypress.compression.learning import StepProgress, ignore_progress
from policypress.compression.pipeline import PLAIN_SESSIONS, build_artifact
from policypress.compression.recipe import Recipe
from policypress.engine.tasks.calibration import Calibration
from policypress.environments.observations import RecordedObservations
from policypress.export.c_source import ProvenSource, c_name, check_c_output, prove_c, publish_c
from policypress.export.extension_module import SUFFIX, publish_extension
from policypress.export.form import HOST, PLAIN, Form
from policypress.export.lite_file import SUFFIX as TFLITE
from policypress.export.lite_file import publish_tflite
from policypress.export.packages.registry import check_folder, package_of, publish_package
from policypress.export.parity import ParityReport
from policypress.export.publish import publish
from policypress.measurement.agent_in_environment import AgentInEnvironment, AgentLike, Factory, agent_in_environment
from policypress.records import ArtifactRecord
from policypress_runtime.codegen.targets import target_of
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import EnvironmentInputError, OutputError
from policypress_runtime.runtimes.protocol import NATIVE

ENDINGS = (".onnx", ".c", SUFFIX, TFLITE)


@dataclass(frozen=True)
class Exported:
    """What was written, and how well it matches; ``c`` is set where it is C, and then ``parity`` is that of the C."""

    record: ArtifactRecord
    parity: ParityReport
    c: ProvenSource | None = None


def export_agent(
    agent: AgentLike | AgentInEnvironment,
    output: str | Path,
    recipe: str | Recipe = "none",
    *,
    env: EnvironmentSpec | str | Factory | None = None,
    observations: str | Path | None = None,
    seed: int = 0,
    form: Form = PLAIN,
    on_progress: Callable[[StepProgress], None] = ignore_progress,
) -> Exported:
    """Press ``agent`` by ``recipe`` and write the artifact and its sidecar to ``output``.

    Where the output's name ends in ``.c``, C for the form's target is written instead, with its header; where it ends
    in ``.so``, a module that this machine's Python imports without anything else; where it ends in ``.tflite``, a
    LiteRT file with its contract beside it. Where the form is a package, ``output`` is its folder.

    Without an environment and without recorded observations the fp32 policy alone can be exported: it is proven
    on drawn observations, and nothing has to be calibrated.

    Args:
        agent: path of a zip, an RL Zoo folder or an ONNX file, a Hub id, a bundle or a policy.
        output: ends in ``.onnx``, ``.c``, ``.so`` or ``.tflite``; the folder of a package.
        recipe: ``none`` is the fp32 policy.
        env: the environment, where the agent does not name it or another is wanted: an id, or what makes it.
        observations: recorded observations (``.npz``) in place of an environment.
        seed: of everything random.
        form: the target of C, or a package: ``Form("cortex-m4")``.
        on_progress: gets the progress of a recipe that learns.

    Raises:
        InputError: the agent, the recipe, the environment or the path cannot be used.
        ParityError: the file would not do what the policy does; nothing is written.
    """
    output = _checked(output, form)
    parsed = recipe if isinstance(recipe, Recipe) else Recipe.parse(recipe)
    subject = agent
    if not isinstance(subject, AgentInEnvironment):
        known, needed = (None if callable(env) else env), observations is None
        made = env if callable(env) else None
        subject = agent_in_environment(subject, env=known, env_fn=made, needs_environment=needed)
    recorded = None
    if observations is not None:
        recorded = RecordedObservations.load(Path(observations), subject.policy.observation_space)
    worker = Calibration(subject, seed, recorded)
    if subject.factory is None and recorded is None:
        if parsed.steps:
            raise EnvironmentInputError(
                "A recipe is calibrated on observations, and there are none.",
                got=f"recipe {parsed.text!r} and no environment",
                expected="--env ID, or --observations logged.npz",
                hint="Without either, only --recipe none can be exported.",
            )
        materials = worker.drawn_materials()
    else:
        materials = worker.materials
    compressed = build_artifact(subject.policy, parsed, materials, seed, on_progress)
    record = replace(compressed.record, path=str(output))
    if form.package is not None:
        proven = publish_package(compressed.artifact, materials.parity, output, form)
        return Exported(record, proven.parity or compressed.artifact.parity, proven)
    if output.suffix == ".c":
        proven = prove_c(compressed.artifact, materials.parity, target_of(form.target or HOST), c_name(output))
        publish_c(proven, output)
        written = replace(record, file_bytes=len(proven.source.c.encode()), path=str(output))
        return Exported(written, proven.parity or compressed.artifact.parity, proven)
    if output.suffix == SUFFIX:
        parity = publish_extension(compressed.artifact, materials.parity, output)
        return Exported(replace(record, file_bytes=output.stat().st_size, runtime=NATIVE), parity)
    if output.suffix == TFLITE:
        parity = publish_tflite(compressed.artifact, materials.parity, output)
        return Exported(replace(record, file_bytes=output.stat().st_size), parity)
    publish(compressed.artifact, output)
    if compressed.artifact.contract.precision in ("int8", "mixed"):
        record = replace(record, notices=(*record.notices, PLAIN_SESSIONS))
    return Exported(record, compressed.artifact.parity)


def _checked(output: str | Path, form: Form) -> Path:
    """Where to write to.

    Raises:
        OutputError: no file of this name can be written.
    """
    path = Path(output)
    if form.package is not None:
        package_of(form.package)
        check_folder(path)
    elif path.suffix not in ENDINGS:
        raise OutputError(
            "The file name has an unsupported suffix.",
            got=str(path),
            expected=f"a name that ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}",
        )
    elif path.suffix == ".c":
        check_c_output(path)
    return path
