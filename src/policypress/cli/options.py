"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

AgentArgument = Annotated[
    str,
    typer.Argument(metavar="AGENT", help="A Stable-Baselines3 zip, an RL Zoo folder, hub:org/repo or ONNX."),
]
FilesArgument = Annotated[list[str], typer.Argument(metavar="FILE...", help="Artifacts (.onnx) or agents.")]
EnvKwargsOption = Annotated[
    list[str] | None, typer.Option("--env-kwargs", metavar="K=V", help="Argument of the environment; repeatable.")
]
WrapperOption = Annotated[
    list[str] | None,
    typer.Option(
        "--wrapper",
        metavar="NAME",
        help="Wrapper in place of those of the agent's files: a listed name or package.module:Class, also "
        "NAME(key=value); repeatable, the first innermost. none: no wrapper.",
    ),
]
EpisodesOption = Annotated[int, typer.Option("--episodes", min=1, help="Episodes of every policy.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]
MaxStepsOption = Annotated[
    int | None, typer.Option("--max-steps", min=1, help="Longest episode, where the environment has no limit.")
]
RuntimeOption = Annotated[
    str,
    typer.Option(
        "--runtime", metavar="NAME", help="What acts: native (C built here), onnxruntime, or auto: native if it can be."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, everything else on stderr.")]
