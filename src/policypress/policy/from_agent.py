"""From an agent, whatever file it came from, to a :class:`Policy`."""

from __future__ import annotations

from collections.abc import Collection

from policypress.agent.bundle import AgentBundle, OnnxNetwork
from policypress.policy import from_onnx, from_sb3
from policypress.policy.policy import Policy


def policy_from_agent(bundle: AgentBundle, *, transposed_keys: Collection[str] = ()) -> Policy:
    """Policy of ``bundle``: from a Stable-Baselines3 checkpoint or from an ONNX file.

    Args:
        bundle: the agent as plain data.
        transposed_keys: observation keys (``""`` for a single tensor) of images that the caller gives as (height,
            width, channels) and the graph transposes to what the network was built for.

    Raises:
        DamagedAgentError: tensors are missing or do not fit each other or the action space.
        NetworkError: something in the network is not supported; the message names it.
    """
    if isinstance(bundle.network, OnnxNetwork):
        return from_onnx.from_onnx(bundle, transposed_keys=transposed_keys)
    return from_sb3.from_bundle(bundle, transposed_keys=transposed_keys)
