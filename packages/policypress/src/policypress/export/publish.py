"""The only way to create an artifact: proven equal, written to a temporary file, renamed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from policypress.export.drift import check_drift
from policypress.export.parity import Observations, ParityReport, check_parity
from policypress.policy.policy import Policy
from policypress.writers.onnx_writer import embed_contract, to_onnx
from policypress_runtime.atomic_write import write_all_atomic
from policypress_runtime.contract import Contract
from policypress_runtime.errors import ParityError
from policypress_runtime.sidecar import check_replaceable, sidecar_of
from policypress_runtime.sidecar import sidecar_name as sidecar_name


@dataclass(frozen=True)
class ProvenArtifact:
    """An artifact that passed the parity gate and has not been written yet. Made by :func:`prove` alone.

    ``policy`` is what it was proven against; None where the file is its own statement (see :func:`prove`).
    """

    model: bytes
    contract: Contract
    parity: ParityReport
    policy: Policy | None = None
    episodes: tuple[Observations, ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of the file."""
        return hashlib.sha256(self.model).hexdigest()


def prove(
    model: onnx.ModelProto,
    contract: Contract,
    policy: Policy | None,
    observations: Observations,
    episodes: Sequence[Observations] = (),
) -> ProvenArtifact:
    """Embed the contract, check the model, and pass the parity gate.

    What no observation shows (a weight of a unit that is silent on all of them) is compared as it is written: the
    graph has to be the one that the policy is written as, number for number.

    Args:
        model: the file to be.
        contract: what it carries.
        policy: what it must do; None where it is its own statement.
        observations: visited and extreme observations, batch first; with the states they were met in, for a memory.
        episodes: for a policy with memory, observations of whole episodes, in order.

    Raises:
        ParityError: the file would not do what the policy does.
    """
    embed_contract(model, contract)
    onnx.checker.check_model(model, full_check=True)
    if policy is not None:
        _check_graph(model, to_onnx(policy))
    content = model.SerializeToString()
    report = check_parity(policy, content, observations)
    if contract.state:
        drift = check_drift(policy, content, episodes)
        report = replace(report, of_allowed=max(report.of_allowed, drift.of_allowed))
    return ProvenArtifact(content, contract, report, policy, tuple(episodes))


def _check_graph(model: onnx.ModelProto, written: onnx.ModelProto) -> None:
    if model.graph.SerializeToString(deterministic=True) == written.graph.SerializeToString(deterministic=True):
        return
    theirs = {part.name: part for part in (*model.graph.initializer, *model.graph.node)}
    ours = {part.name: part for part in (*written.graph.initializer, *written.graph.node)}
    differ = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
    raise ParityError(
        "The file differs from the policy's graph; nothing was written.",
        got=f"{len(differ)} tensors and nodes that differ: {', '.join(differ[:3])}",
        expected="the policy's numbers and operators",
        hint="This is a bug in policypress or a dependency: please report it with the agent and the recipe.",
    )


def sidecar_bytes(artifact: ProvenArtifact) -> bytes:
    """The contract as JSON, with the hash of the artifact it belongs to."""
    return sidecar_of(artifact.contract, artifact.sha256)


def publish(artifact: ProvenArtifact, path: Path) -> None:
    """Write the artifact and its sidecar; both are on the disk before either takes the place of an old file.

    Raises:
        OutputError: the folder cannot be written, the disk is full, or the sidecar's place is another file's.
    """
    check_replaceable(path)
    write_all_atomic({path: artifact.model, path.with_name(sidecar_name(path.name)): sidecar_bytes(artifact)})
