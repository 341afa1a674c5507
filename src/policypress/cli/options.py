"""Arguments and options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from policypress.agent.bundle import Activation
from policypress.agent.overrides import Overrides
from policypress.contract import EnvironmentSpec
from policypress.environment.trust import user_environment
from policypress.errors import EnvironmentInputError, InputError

AgentArgument = Annotated[
    str,
    typer.Argument(metavar="AGENT", help="A Stable-Baselines3 zip, an RL Zoo folder, hub:org/repo or ONNX."),
]
FilesArgument = Annotated[list[str], typer.Argument(metavar="FILE...", help="Artifacts (.onnx) or agents.")]
EnvOption = Annotated[
    str | None, typer.Option("--env", metavar="ID", help="Environment id, or package.module:MyEnv-v0.")
]
EnvKwargsOption = Annotated[
    list[str] | None, typer.Option("--env-kwargs", metavar="K=V", help="Argument of the environment; repeatable.")
]
WrapperOption = Annotated[
    list[str] | None,
    typer.Option(
        "--wrapper",
        metavar="NAME",
        help="Wrapper: a listed name or package.module:Class, also NAME(key=value); repeatable.",
    ),
]
ActivationOption = Annotated[
    str | None, typer.Option("--activation", help="Hidden activation, where the file does not tell it.")
]
StridesOption = Annotated[
    str | None, typer.Option("--cnn-strides", metavar="4,2", help="Strides of a custom CNN's convolutions.")
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


@dataclass(frozen=True)
class Stated:
    """What the user stated on the command line of the agent and its environment."""

    environment: EnvironmentSpec | None
    overrides: Overrides


def stated(
    agent: str,
    env: str | None,
    env_kwargs: list[str] | None,
    wrappers: list[str] | None,
    activation: str | None,
    cnn_strides: str | None,
) -> Stated:
    """Interpret the shared options.

    Arguments and wrappers without ``--env`` go to the environment that the agent names.

    Raises:
        InputError: a value that does not parse, or no environment to add arguments to.
    """
    overrides = Overrides(
        activation=None if activation is None else Activation(activation.lower()),
        cnn_strides=None if cnn_strides is None else _strides(cnn_strides),
    )
    if env is None and not env_kwargs and not wrappers:
        return Stated(None, overrides)
    if env is None:
        # Reading an agent needs torch; most commands that share these options do not.
        from policypress.agent.loading import load_agent

        named = load_agent(agent, overrides=overrides).environment
        if named is None:
            raise EnvironmentInputError(
                "There is no environment to add arguments or wrappers to.",
                got=f"{agent} names none",
                expected="--env beside --env-kwargs and --wrapper",
            )
        env = named.id
    return Stated(user_environment(env, env_kwargs or (), wrappers or ()), overrides)


def _strides(text: str) -> tuple[int, ...]:
    try:
        strides = tuple(int(part) for part in text.split(","))
    except ValueError:
        strides = ()
    if not strides or min(strides) < 1:
        raise InputError("The strides do not parse.", got=f"--cnn-strides {text}", expected="e.g. --cnn-strides 4,2")
    return strides
