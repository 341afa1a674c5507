"""``policypress export``: one agent, one recipe, one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from policypress.cli.console import err, out, print_json, tell
from policypress.cli.options import (
    ActivationOption,
    AgentArgument,
    EnvKwargsOption,
    EnvOption,
    JsonOption,
    SeedOption,
    StridesOption,
    WrapperOption,
    stated,
)
from policypress.errors import OutputError
from policypress.report.quantities import size
from policypress.study.export_agent import export_agent


def export(
    agent: AgentArgument,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The artifact to write (.onnx).")],
    recipe: Annotated[str, typer.Option("--recipe", metavar="R", help='For example "equalize > int8".')] = "none",
    env: EnvOption = None,
    env_kwargs: EnvKwargsOption = None,
    wrapper: WrapperOption = None,
    observations: Annotated[
        Path | None, typer.Option("--observations", metavar="NPZ", help="Recorded observations, without environment.")
    ] = None,
    activation: ActivationOption = None,
    cnn_strides: StridesOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Write an agent as one self-contained ONNX artifact, proven equal to the policy before it is written.

    Examples:
      policypress export examples/agents/sac-HalfCheetah-v4.zip -o cheetah.onnx
      policypress export agent.zip --recipe "equalize > int8" -o small.onnx --env Hopper-v4
    """
    if output.suffix.lower() != ".onnx":
        raise OutputError(
            "The artifact's name says another format.", got=str(output), expected="a name that ends in .onnx"
        )
    said = stated(agent, env, env_kwargs, wrapper, activation, cnn_strides)
    exported = export_agent(
        agent,
        output,
        recipe,
        env=said.environment,
        overrides=said.overrides,
        observations=observations,
        seed=seed,
    )
    record = exported.record
    if as_json:
        print_json({"artifact": str(output), **record.to_json(), "path": str(output)})
        return
    tell(record.notices)
    err.print(
        f"parity: {exported.parity.observations} observations, largest difference {exported.parity.max_error:.2g}"
    )
    out.print(f"{output}  {size(record.file_bytes)} ({size(record.packed_bytes)} packed), recipe {record.recipe}")
