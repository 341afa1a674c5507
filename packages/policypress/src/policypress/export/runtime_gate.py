"""Proof that another runtime does what the file does: single steps, and with a memory whole episodes too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from policypress.environments.memory.remembering import without_states
from policypress.export.drift import check_drift, played
from policypress.export.parity import BatchRuntime, Observations, ParityReport, check_runtime_parity
from policypress.policy.policy import Policy
from policypress_runtime.contract import Contract
from policypress_runtime.runtimes.memory import together
from policypress_runtime.runtimes.onnx_runtime import OnnxRuntime


def check_runtime(
    policy: Policy | None,
    model: bytes,
    runtime: BatchRuntime,
    observations: Observations,
    episodes: Sequence[Observations] = (),
) -> ParityReport:
    """Prove that ``runtime`` does what the policy does.

    Args:
        policy: as for :func:`~policypress.export.parity.check_runtime_parity`.
        model: the file that the runtime was made from.
        runtime: what is to be proven.
        observations: visited and extreme observations, with the states they were met in where there are states.
        episodes: observations of whole episodes, for a policy with memory.

    Raises:
        ParityError: out of tolerance.
    """
    report = check_runtime_parity(policy, model, runtime, fitting(observations, model, runtime.contract))
    if not runtime.contract.state or not episodes:
        return report
    drift = check_drift(policy, model, episodes, runtime)
    return replace(report, of_allowed=max(report.of_allowed, drift.of_allowed))


def fitting(observations: Observations, model: bytes, contract: Contract) -> Observations:
    """``observations`` with states that the file can be in.

    Those that another policy met, with more units than are left, are replaced by what the file itself remembers when it
    meets the observations one after the other.
    """
    if not contract.state:
        return observations
    if isinstance(observations, Mapping):
        wanted = contract.state
        if all(spec.name in observations and observations[spec.name].shape[1:] == spec.shape for spec in wanted):
            return observations
    alone, _ = without_states(observations, contract.observation_space)
    outputs = played(OnnxRuntime(model), contract, alone)
    return together(alone, {spec.name: outputs[spec.name] for spec in contract.state})
