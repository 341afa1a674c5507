"""``policypress export``: one agent, one recipe, one file."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from policypress.cli import console
from policypress.cli.agent_options import AgentOptions, Stated, with_agent_options
from policypress.cli.completion import PACKAGES, TARGETS, one_of, recipes
from policypress.cli.console import print_json, print_notices, progress_bar
from policypress.cli.options import (
    AgentArgument,
    JsonOption,
    SeedOption,
)
from policypress_runtime.errors import InputError, OutputError

if TYPE_CHECKING:
    from policypress.export.c_source import ProvenSource
    from policypress.export.form import Form
    from policypress.export.parity import ParityReport
    from policypress.study.export_agent import Exported

SUFFIXES = (".onnx", ".c", ".so", ".tflite")


@with_agent_options
def export(
    agent: AgentArgument,
    agent_options: AgentOptions,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Output file: .onnx, .c, .so or .tflite.")
    ] = None,
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="R", help='For example "equalize > int8".', autocompletion=recipes)
    ] = "none",
    observations: Annotated[
        Path | None,
        typer.Option("--observations", metavar="NPZ", help="Recorded observations, if there is no environment."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            help=f"C target: {', '.join(TARGETS)}.",
            autocompletion=one_of(TARGETS),
        ),
    ] = None,
    package: Annotated[
        str | None,
        typer.Option(
            "--package",
            metavar="KIND",
            help=f"Write a ready folder around the C: {', '.join(PACKAGES)}.",
            autocompletion=one_of(PACKAGES),
        ),
    ] = None,
    everywhere: Annotated[
        bool, typer.Option("--all", help="Write an artifact, or a search's winner, for every target and package.")
    ] = False,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Export an agent as ONNX, C without dependencies, a Python module or a LiteRT file, after proving it equal.

    Examples:
      policypress export examples/agents/sac-HalfCheetah-v4.zip -o cheetah.onnx
      policypress export agent.zip --recipe "equalize > int8" -o small.onnx --env Hopper-v4
      policypress export agent.zip --recipe "equalize > int8" -o policy.c --target cortex-m4
      policypress export agent.zip --recipe "equalize > int8" -o policy.so
      policypress export out/agent/policy.onnx -o policy.tflite
      policypress export out/agent/policy.onnx --package ros2 -o gait_policy
      policypress export out/agent/winner.onnx -o policy.c
      policypress export out/agent --all
    """
    if everywhere:
        _refuse_beside_all(recipe, target, package)
        _write_everywhere(Path(agent), output, agent_options.stated(agent), observations, seed, as_json)
        return
    if output is None:
        raise OutputError("There is no output.", got="no -o", expected="-o FILE", hint="For every target: --all.")
    # A mistyped path is answered before anything slow is imported.
    stated = agent_options.stated(agent)
    form = _form(output, target, package)
    from policypress.cli.study_progress import LearningBar
    from policypress.measurement.agent_in_environment import agent_in_environment
    from policypress.study.export_agent import export_agent
    from policypress.study.export_artifact import quantized_artifact, refuse_recipe

    contract = quantized_artifact(agent)
    if contract is not None:
        refuse_recipe(recipe, agent, contract)
        _write_artifact(Path(agent), output, stated, observations, seed, form, as_json)
        return
    subject = agent_in_environment(
        agent, env=stated.environment, overrides=stated.overrides, needs_environment=observations is None
    )
    with progress_bar(refreshing=False) as bar:
        exported = export_agent(
            subject,
            output,
            recipe,
            observations=observations,
            seed=seed,
            form=form,
            on_progress=LearningBar(bar, recipe).move,
        )
    if as_json:
        sizes = {} if exported.c is None else {"footprint": asdict(exported.c.footprint)}
        print_json({"artifact": str(output), **exported.record.to_json(), "path": str(output), **sizes})
        return
    _show(output, exported)


def _form(output: Path, target: str | None, package: str | None) -> Form:
    """The form that is asked for, if it and the output's name go together."""
    from policypress.export.c_source import check_c_output
    from policypress.export.extension_module import SUFFIX, module_name
    from policypress.export.form import Form
    from policypress_runtime.codegen.targets import target_of

    if package is None and output.suffix not in SUFFIXES:
        raise OutputError(
            "The file name has an unsupported suffix.",
            got=str(output),
            expected=f"a name that ends in {', '.join(SUFFIXES)}",
        )
    if target is not None and output.suffix != ".c" and package is None:
        raise InputError("A target needs C output.", got=f"--target {target}, {output}", expected="-o NAME.c")
    if output.suffix == SUFFIX and package is None:
        module_name(output)
    if target is not None:
        target_of(target)
    if package is None and output.suffix == ".c":
        check_c_output(output)
    return Form(target, package)


def _write_artifact(
    artifact: Path,
    output: Path,
    stated: Stated,
    observations: Path | None,
    seed: int,
    form: Form,
    as_json: bool,
) -> None:
    """Write an artifact that is quantized already as it is, and say what was written."""
    from policypress.report.quantities import size
    from policypress.study.export_artifact import export_artifact

    written = export_artifact(
        artifact,
        output,
        env=stated.environment,
        observations=observations,
        overrides=stated.overrides,
        seed=seed,
        form=form,
    )
    if as_json:
        sizes = {} if written.c is None else {"footprint": asdict(written.c.footprint)}
        print_json({"artifact": str(output), **written.to_json(), "path": str(output), **sizes})
        return
    if written.c is not None:
        print_notices(written.c.notices)
        _show_footprint(written.c)
    _show_parity(written.parity)
    console.out.print(
        f"{output}  {size(written.file_bytes)} ({size(written.packed_bytes)} packed), "
        f"the artifact's own numbers, recipe {written.contract.recipe}"
    )


def _refuse_beside_all(recipe: str, target: str | None, package: str | None) -> None:
    given = [name for name, value in (("--target", target), ("--package", package)) if value is not None]
    given += ["--recipe"] if recipe.strip() != "none" else []
    if given:
        raise InputError(
            "--all writes an artifact as it is, for every target.",
            got=f"--all with {', '.join(given)}",
            expected="--all alone",
            hint="Export with the recipe first (-o policy.onnx), then export that file with --all.",
        )


def _write_everywhere(
    place: Path, output: Path | None, stated: Stated, observations: Path | None, seed: int, as_json: bool
) -> None:
    """Write an artifact in every form, a line for each."""
    from policypress.export.packages.registry import check_folder
    from policypress.report.quantities import size
    from policypress.study.export_artifact import proven_from
    from policypress.study.exporting.everywhere import FOLDER, Written, export_everywhere, winner_of

    artifact = winner_of(place)
    folder = artifact.parent / FOLDER if output is None else output
    check_folder(folder)
    proven, met = proven_from(
        artifact, env=stated.environment, observations=observations, overrides=stated.overrides, seed=seed
    )

    def told(one: Written) -> None:
        flash = "" if one.flash_bytes is None else f"  {size(one.flash_bytes)} of flash"
        if not as_json:
            console.out.print(f"{one.path}{flash}" if not one.refused else f"{one.path}  not written: {one.refused}")

    done = export_everywhere(proven, met, folder, told)
    if as_json:
        print_json({str(one.path): {"flash_bytes": one.flash_bytes, "refused": one.refused or None} for one in done})


def _show_parity(compared: ParityReport) -> None:
    console.err.print(
        f"parity: {compared.observations} observations, largest error {compared.of_allowed:.2g} of the tolerance"
    )


def _show(output: Path, exported: Exported) -> None:
    from policypress.report.quantities import size

    record = exported.record
    print_notices(record.notices)
    if exported.c is not None:
        print_notices(exported.c.notices)
        _show_footprint(exported.c)
    _show_parity(exported.parity)
    console.out.print(
        f"{output}  {size(record.file_bytes)} ({size(record.packed_bytes)} packed), recipe {record.recipe}"
    )
    _show_next(output)


def _show_next(output: Path) -> None:
    """What one does next with the file."""
    from policypress.export.c_source import c_name

    where = shlex.quote(str(output))
    if output.suffix == ".onnx":
        console.err.print(f"next: policypress inspect {where} says what it takes and gives")
    elif output.suffix == ".c":
        macro = f"-D{c_name(output).upper()}_SELFTEST"
        console.err.print(
            f"next: compile it with {macro} once where it will run; the program ends with 0 if all is well"
        )


def _show_footprint(proven: ProvenSource) -> None:
    """Flash and RAM on the target, and the kernels that were run to prove the C."""
    from policypress.report.quantities import size

    found = proven.footprint
    code = "code unknown" if found.code_bytes is None else f"{size(found.code_bytes)} code ({found.compiler})"
    console.out.print(f"flash on {found.target}: {size(found.constants_bytes)} constants, {code}")
    where = "given by the caller" if found.scratch_given else "of stack"
    console.out.print(f"RAM: {size(found.scratch_bytes)} {where}, {size(found.batch_scratch_bytes)} for batches")
    if proven.kernels:
        console.err.print(f"the C was run with the kernels {', '.join(proven.kernels)}")
