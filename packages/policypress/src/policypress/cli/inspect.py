"""``policypress inspect``: what an agent is, without making its environment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policypress.cli import console
from policypress.cli.agent_options import AgentOptions, with_agent_options
from policypress.cli.console import print_json, print_notices
from policypress.cli.options import AgentArgument, JsonOption

if TYPE_CHECKING:
    from policypress.agents.overrides import Overrides
    from policypress.measurement.agent_in_environment import AgentInEnvironment
    from policypress.policy.policy import Policy
    from policypress_runtime.contract import Contract

FLOAT_BYTES = 4
MASKING = (
    "the artifact gives the scores of all actions, and the caller masks those that are not allowed: "
    "predict(observation, action_masks=...) in Python, the function that ends in _run in C"
)


@with_agent_options
def inspect(
    agent: AgentArgument,
    agent_options: AgentOptions,
    as_json: JsonOption = False,
) -> None:
    """Describe an agent or an artifact: algorithm, spaces, network, what is folded in. Nothing in it is executed.

    Examples:
      policypress inspect examples/agents/sac-HalfCheetah-v4.zip
      policypress inspect path/to/zoo/folder --json
      policypress inspect out/agent/policy.onnx
    """
    stated = agent_options.stated(agent)
    from policypress.measurement.agent_in_environment import agent_in_environment
    from policypress.study.export_artifact import quantized_artifact

    contract = quantized_artifact(agent)
    if contract is not None:
        _show_artifact(Path(agent), contract, stated.overrides, as_json)
        return
    subject = agent_in_environment(agent, env=stated.environment, overrides=stated.overrides, needs_environment=False)
    if as_json:
        print_json(_described(subject))
        return
    print_notices(subject.notices)
    _print_lines(_lines(subject, agent_options.normalizer))


def _show_artifact(path: Path, contract: Contract, overrides: Overrides, as_json: bool) -> None:
    """What a quantized artifact says of itself; the sidecar beside it may know the measured return."""
    from policypress.agents.applicable import AgentKind, refuse_useless
    from policypress.cli.describing.artifact import artifact_json, artifact_lines
    from policypress_runtime.sidecar import check_pair, contract_beside

    refuse_useless(overrides, AgentKind.ACTING, path.name)
    check_pair(path)
    # All else is said by the file itself, which is what acts.
    beside = contract_beside(path)
    known = contract if beside is None else replace(contract, measured_return=beside.measured_return)
    if as_json:
        print_json(artifact_json(path, known))
    else:
        _print_lines(artifact_lines(path, known))


def _print_lines(lines: list[tuple[str, str]]) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in lines:
        table.add_row(key, value)
    console.out.print(table)


def _described(subject: AgentInEnvironment) -> dict[str, Any]:
    from policypress_runtime.contract import space_to_json

    policy = subject.policy
    origin = policy.origin
    return {
        "source": subject.source,
        "sha256": origin.sha256,
        "algorithm": origin.algorithm,
        "library_version": subject.library_version,
        "environment": None if origin.environment is None else origin.environment.to_json(),
        "observation_space": space_to_json(policy.observation_space),
        "action_space": space_to_json(policy.action_space),
        "folded": list(policy.folded()),
        "caller_supplies": list(origin.caller_supplies),
        "assumptions": list(origin.assumptions),
        "checked": None if origin.checked is None else vars(origin.checked),
        **({} if origin.source is None else {"source_names": origin.source.to_json()}),
        **({"state": [vars(state.spec) for state in policy.states]} if policy.states else {}),
        "parameters": policy.parameter_count(),
        "macs": policy.macs(),
        "layers": [
            {"name": n.name, "inputs": list(n.inputs), "layer": repr(policy.layers[n.name])} for n in policy.nodes
        ],
        "notices": list(subject.notices),
    }


def _lines(subject: AgentInEnvironment, normalizer: str | None) -> list[tuple[str, str]]:
    from policypress.cli.describing.artifact import source_lines
    from policypress.cli.describing.network import (
        activations_in_words,
        layers_in_words,
        normalisation_in_words,
        saved_by,
    )
    from policypress.environments.fit import in_words
    from policypress.report.quantities import size

    policy = subject.policy
    origin = policy.origin
    return [
        ("agent", subject.source),
        ("algorithm", origin.algorithm + saved_by(subject.library_version)),
        ("environment", "not stated in its files" if origin.environment is None else origin.environment.id),
        ("observations", in_words(policy.observation_space)),
        ("actions", in_words(policy.action_space)),
        ("layers", layers_in_words(policy)),
        ("activations", activations_in_words(policy)),
        ("parameters", f"{policy.parameter_count()} ({size(policy.parameter_count() * FLOAT_BYTES)} in fp32)"),
        ("per action", f"{policy.macs()} multiply-accumulates"),
        ("normalisation", normalisation_in_words(policy, stated_none=normalizer == "none")),
        *([] if origin.checked is None else [("compared with", origin.checked.in_words())]),
        ("folded in", ", ".join(policy.folded()) or "nothing"),
        *([("memory", _memory(policy))] if policy.states else []),
        ("caller supplies", ", ".join(origin.caller_supplies) or "only the observation"),
        *source_lines(origin.source),
        *([("action mask", MASKING)] if subject.masked else []),
    ]


def _memory(policy: Policy) -> str:
    """The states that a step takes and gives, with their shapes."""
    return ", ".join(f"{s.spec.name} -> {s.spec.next_name} {s.spec.shape}" for s in policy.states)
