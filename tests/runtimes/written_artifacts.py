"""Artifacts on disk, for tests of what acts with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from policypress.policy.policy import Policy
from policypress.writers.onnx_writer import contract_of, embed_contract, to_onnx


def written(policy: Policy, path: Path, *, batch_independent: bool = True) -> Path:
    """``policy`` as an artifact at ``path``."""
    model = to_onnx(policy)
    contract = contract_of(policy, "none", "", "fp32", "0")
    embed_contract(model, replace(contract, batch_independent=batch_independent))
    path.write_bytes(model.SerializeToString())
    return path
