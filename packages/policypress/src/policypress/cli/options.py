"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from policypress.cli.completion import RUNTIMES, one_of

GOAL, ENVIRONMENT, MEASURING, EXPERT = "Goal", "Environment", "Measuring", "Expert"
"""Panels of ``--help``."""
AGENT_FILE = "What the agent's file leaves open"

AgentArgument = Annotated[
    str,
    typer.Argument(metavar="AGENT", help="A Stable-Baselines3 zip, an RL Zoo folder, hub:org/repo or ONNX."),
]
FilesArgument = Annotated[list[str], typer.Argument(metavar="FILE...", help="Artifacts (.onnx) or agents.")]
KeepOption = Annotated[
    float, typer.Option("--keep", metavar="SHARE", help="Fraction of the return to keep.", rich_help_panel=GOAL)
]
ConfidenceOption = Annotated[
    float, typer.Option("--confidence", metavar="C", help="Confidence of the certificate.", rich_help_panel=GOAL)
]
WorstReturnOption = Annotated[
    float | None,
    typer.Option(
        "--worst-return", metavar="R", help="The worst return that an episode counts as.", rich_help_panel=GOAL
    ),
]
BestReturnOption = Annotated[
    float | None,
    typer.Option("--best-return", metavar="R", help="The best return that an episode counts as.", rich_help_panel=GOAL),
]
MaxFallsOption = Annotated[
    str | None,
    typer.Option(
        "--max-falls",
        metavar="RATE|baseline+RATE",
        help="Also certify that falls are at most so frequent, or so much more frequent than the agent's.",
        rich_help_panel=GOAL,
    ),
]
EnvKwargsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--env-kwargs", metavar="K=V", help="Argument of the environment; repeatable.", rich_help_panel=ENVIRONMENT
    ),
]
WrapperOption = Annotated[
    list[str] | None,
    typer.Option(
        "--wrapper",
        metavar="NAME",
        help="Wrapper that replaces those of the agent's files: a listed name or package.module:Class, also "
        "NAME(key=value); repeatable, the first innermost. none: no wrapper.",
        rich_help_panel=ENVIRONMENT,
    ),
]
EpisodesOption = Annotated[
    int, typer.Option("--episodes", min=1, help="Episodes per policy.", rich_help_panel=MEASURING)
]
SeedOption = Annotated[int, typer.Option("--seed", help="Random seed.", rich_help_panel=MEASURING)]
MaxStepsOption = Annotated[
    int | None,
    typer.Option("--max-steps", min=1, help="Step limit, if the environment has none.", rich_help_panel=ENVIRONMENT),
]
RuntimeOption = Annotated[
    str,
    typer.Option(
        "--runtime",
        metavar="NAME",
        help="native (compiled C), onnxruntime, or auto: native if possible.",
        autocompletion=one_of(RUNTIMES),
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, all else on stderr.")]
