"""The identity of a policy: equal exactly when graph, layers and parameters are equal."""

from __future__ import annotations

import hashlib
import json

from policypress.contract import space_to_json
from policypress.policy.policy import Policy


def fingerprint(policy: Policy) -> str:
    """Sha256, in hex, over spaces, graph, layers and every parameter and buffer.

    Where the policy came from does not count: the same network from two files has one fingerprint, and one
    file read with two normalisers has two.
    """
    digest = hashlib.sha256()
    head = {
        "observation_space": space_to_json(policy.observation_space),
        "action_space": space_to_json(policy.action_space),
        "nodes": [[node.name, list(node.inputs), repr(policy.layers[node.name])] for node in policy.nodes],
        "scores": policy.scores_node,
    }
    digest.update(json.dumps(head, sort_keys=True).encode())
    for name, tensor in sorted(policy.state_dict().items()):
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()
