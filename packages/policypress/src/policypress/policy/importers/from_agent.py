"""From an agent, whatever file it came from, to a :class:`Policy`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial

from policypress.agents.bundle import AgentBundle, ChainNetwork, OnnxNetwork, Sb3Network
from policypress.agents.sb3.activation_text import in_words
from policypress.agents.sb3.authorship import unproven
from policypress.policy.importers import from_chain, from_onnx, from_sb3
from policypress.policy.importers.check_pairs import check_pairs, first_proven
from policypress.policy.policy import Policy
from policypress.policy.precision import with_precision_told
from policypress_runtime.errors import NetworkError
from policypress_runtime.reading_limits import limited


def policy_from_agent(bundle: AgentBundle, *, transposed_keys: Collection[str] = ()) -> Policy:
    """Policy of ``bundle``: from a checkpoint or from an ONNX file.

    Where the bundle names pairs of observations and actions (``check``), the policy is one that acts as they say.

    Args:
        bundle: the agent as plain data.
        transposed_keys: observation keys (``""`` for a single tensor) of images that the caller gives as (height,
            width, channels) and the graph transposes to what the network was built for.

    Raises:
        DamagedAgentError: tensors are missing or do not fit each other or the action space.
        UndeterminedAgentError: its author's own code acts, and there are no pairs.
        UnsupportedAgentError: rounding its observations to float32 moves the actions visibly.
        NetworkError: something in the network is not supported, the message names it; or it acts otherwise.
        ObservationError: the pairs cannot be used.
    """
    if bundle.check is None:
        if bundle.unproven:
            raise unproven(bundle.unproven)
        return _built(bundle, transposed_keys)
    if not bundle.unproven:
        return check_pairs(_built(bundle, transposed_keys), bundle.check)
    return first_proven(_candidates(bundle, transposed_keys), bundle.check, bundle.unproven)


def _built(bundle: AgentBundle, transposed_keys: Collection[str]) -> Policy:
    model = bundle.network.model if isinstance(bundle.network, OnnxNetwork) else b""
    with limited("The agent's network", error=NetworkError, file_bytes=len(model)):
        chain = isinstance(bundle.network, ChainNetwork)
        read = from_onnx.from_onnx if model else from_chain.from_chain if chain else from_sb3.from_bundle
        return with_precision_told(read(bundle, transposed_keys=transposed_keys), bundle.normaliser)


def _candidates(bundle: AgentBundle, transposed_keys: Collection[str]) -> Iterator[tuple[str, Callable[[], Policy]]]:
    for network in (bundle.network, *bundle.alternatives):
        if isinstance(network, Sb3Network):
            yield _words(network), partial(_built, replace(bundle, network=network), transposed_keys)


def _words(network: Sb3Network) -> str:
    parts = [in_words(network.activation)]
    cnn = network.extractor.cnn
    if cnn is not None:
        parts.append(f"a CNN with {in_words(cnn.activation)} and strides {','.join(map(str, cnn.strides))}")
    if any(name.endswith(".running_mean") for name in network.state):
        parts.append(f"batch normalisation with epsilon {network.norm_epsilon:g}")
    return " and ".join(parts)
