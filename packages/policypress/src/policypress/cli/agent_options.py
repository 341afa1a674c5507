"""What every command that reads agents lets the user state of them: one set of options, one object."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from policypress.agents.near_files import check_there
from policypress.cli.options import AGENT_FILE, ENVIRONMENT, EnvKwargsOption, WrapperOption
from policypress_runtime.errors import EnvironmentInputError

if TYPE_CHECKING:
    from policypress.agents.overrides import Overrides
    from policypress_runtime.contract import EnvironmentSpec


@dataclass(frozen=True)
class Stated:
    """What the user stated on the command line of the agent and its environment."""

    environment: EnvironmentSpec | None
    overrides: Overrides


@dataclass(frozen=True)
class AgentOptions:
    """The options themselves, as they were typed; each field is one option of every command that reads agents."""

    env: Annotated[
        str | None,
        typer.Option(
            "--env", metavar="ID", help="Environment id, or package.module:MyEnv-v0.", rich_help_panel=ENVIRONMENT
        ),
    ] = None
    env_kwargs: EnvKwargsOption = None
    wrapper: WrapperOption = None
    normalizer: Annotated[
        str | None,
        typer.Option(
            "--normalizer",
            metavar="FILE|none",
            help="Statistics of observations: VecNormalize, or an .npz; or none.",
            rich_help_panel=AGENT_FILE,
        ),
    ] = None
    activation: Annotated[
        str | None,
        typer.Option(
            "--activation",
            help="Hidden activation, if the file does not name it: elu, leaky_relu(0.2).",
            rich_help_panel=AGENT_FILE,
        ),
    ] = None
    cnn_strides: Annotated[
        str | None,
        typer.Option(
            "--cnn-strides", metavar="4,2", help="Strides of a custom CNN's convolutions.", rich_help_panel=AGENT_FILE
        ),
    ] = None
    check: Annotated[
        Path | None,
        typer.Option(
            "--check",
            metavar="NPZ",
            help="Observations with the actions that your own code returned.",
            rich_help_panel=AGENT_FILE,
        ),
    ] = None
    output_name: Annotated[
        str | None,
        typer.Option(
            "--output-name", metavar="NAME", help="ONNX: the output that is the action.", rich_help_panel=AGENT_FILE
        ),
    ] = None
    actions: Annotated[
        int | None,
        typer.Option(
            "--actions",
            metavar="N",
            min=1,
            help="ONNX, checkpoints: it selects one of N actions.",
            rich_help_panel=AGENT_FILE,
        ),
    ] = None
    scale_actions: Annotated[
        bool,
        typer.Option(
            "--scale-actions",
            help="The network outputs -1 to 1; scale it to the action bounds.",
            rich_help_panel=AGENT_FILE,
        ),
    ] = False
    squash: Annotated[
        str | None,
        typer.Option(
            "--squash",
            metavar="tanh|none",
            help="Checkpoints: what your code did to the actions.",
            rich_help_panel=AGENT_FILE,
        ),
    ] = None
    action_scale: Annotated[
        str | None,
        typer.Option(
            "--action-scale",
            metavar="0.25",
            help="Checkpoints: your code multiplied actions by this.",
            rich_help_panel=AGENT_FILE,
        ),
    ] = None
    action_size: Annotated[
        int | None,
        typer.Option(
            "--action-size",
            metavar="N",
            min=1,
            help="Checkpoints: the outputs are N actions.",
            rich_help_panel=AGENT_FILE,
        ),
    ] = None
    layers: Annotated[
        str | None,
        typer.Option(
            "--layers",
            metavar="a.0,a.2",
            help="Files of weights: the layers that act, in order.",
            rich_help_panel=AGENT_FILE,
        ),
    ] = None

    def overrides(self) -> Overrides:
        """What they say of an agent beside its environment.

        Raises:
            InputError: a value that does not parse.
        """
        from policypress.agents.stated_overrides import stated_overrides

        return stated_overrides(
            normalizer=self.normalizer,
            activation=self.activation,
            cnn_strides=self.cnn_strides,
            check=self.check,
            output_name=self.output_name,
            actions=self.actions,
            scale_actions=self.scale_actions,
            squash=self.squash,
            action_scale=self.action_scale,
            action_size=self.action_size,
            layers=self.layers,
        )

    def stated(self, agent: str, facts: Overrides | None = None) -> Stated:
        """What they say of ``agent``; ``facts`` in place of :meth:`overrides` where several agents share them.

        Arguments and wrappers without ``--env`` go to the environment that the agent names.

        Raises:
            InputError: nothing lies where ``agent`` says, a value does not parse, or there is no environment to add
                arguments to.
        """
        check_there(agent)
        overrides = self.overrides() if facts is None else facts
        if self.env is None and not self.env_kwargs and not self.wrapper:
            return Stated(None, overrides)
        from policypress.environments.trust import user_environment, with_additions

        kwargs, wrappers = self.env_kwargs or (), self.wrapper or ()
        if self.env is not None:
            return Stated(user_environment(self.env, kwargs, wrappers), overrides)
        return Stated(with_additions(_named_by(agent, overrides), kwargs, wrappers), overrides)


def check_files(files: Iterable[str]) -> None:
    """Refuse paths of artifacts or agents at which nothing lies, before what reads them is imported.

    Raises:
        InputError: there is nothing.
    """
    for file in files:
        if file.lower().endswith(".onnx"):
            from policypress_runtime.runtimes.loading import check_artifact_there

            check_artifact_there(file)
        else:
            check_there(file)


def with_agent_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command`` the options of :class:`AgentOptions` in place of its parameter ``agent_options``."""
    own = inspect.signature(command, eval_str=True)
    hints = get_type_hints(AgentOptions, include_extras=True)
    shared = {
        field.name: inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(AgentOptions)
    }
    kept = [part for name, part in own.parameters.items() if name != "agent_options"]
    parameters = [*(part.replace(kind=inspect.Parameter.KEYWORD_ONLY) for part in kept), *shared.values()]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        command(agent_options=AgentOptions(**{name: given.pop(name) for name in shared}), **given)

    del run.__wrapped__  # or its signature would be taken for this one's
    signature: Any = inspect.Signature(parameters, return_annotation=None)
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {part.name: part.annotation for part in parameters}
    return run


def _named_by(agent: str, overrides: Overrides) -> EnvironmentSpec:
    # Reading an agent needs torch; most commands that share these options do not.
    from policypress.agents.loading import load_agent

    named = load_agent(agent, overrides=overrides).environment
    if named is None:
        raise EnvironmentInputError(
            "There is no environment for these arguments or wrappers.",
            got=f"{agent} names none",
            expected="--env together with --env-kwargs and --wrapper",
        )
    return named
