"""The contract that an artifact carries, read from its metadata and held against its graph."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from policypress_runtime.contract import METADATA_KEY, Contract, TensorSpec
from policypress_runtime.errors import ArtifactError
from policypress_runtime.runtimes.onnx_metadata import content_of, described


def contract_from(text: str | None, label: str) -> Contract:
    """The contract in the metadata entry ``text`` of the file ``label``.

    Raises:
        ArtifactError: there is none, or it cannot be read.
    """
    if text is None:
        raise ArtifactError(
            "The ONNX file carries no policypress contract.",
            got=label,
            expected=f"metadata_props[{METADATA_KEY!r}]",
            hint="Turn the file into an artifact first: `policypress export FILE -o artifact.onnx`.",
        )
    return Contract.from_text(text)


def contract_of_file(path: Path) -> Contract:
    """The contract in the metadata of the file at ``path``; nothing of its graph is looked at.

    Raises:
        ArtifactError: it cannot be read, is not ONNX, or carries no contract or several.
    """
    return contract_from(described(content_of(path), path.name).metadata.get(METADATA_KEY), path.name)


def check_graph(contract: Contract, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec], label: str) -> None:
    """Refuse a contract that was written for another graph.

    Raises:
        ArtifactError: names, dtypes or shapes differ.
    """
    before = (*contract.inputs, *(TensorSpec(s.name, "float32", s.shape) for s in contract.state))
    after = (*contract.outputs, *(TensorSpec(s.next_name, "float32", s.shape) for s in contract.state))
    for kind, promised, found in (("inputs", before, inputs), ("outputs", after, outputs)):
        here = {spec.name: (spec.dtype, list(spec.shape)) for spec in found}
        said = {spec.name: (spec.dtype, list(spec.shape)) for spec in promised}
        if here != said:
            raise ArtifactError(
                f"The artifact's contract does not fit its graph's {kind}.",
                got=f"{label}: {here}",
                expected=str(said),
                hint="Write the artifact again with `policypress export`.",
            )
