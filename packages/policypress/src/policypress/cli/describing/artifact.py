"""An artifact of ours in the words of ``policypress inspect``: what its contract says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from policypress_runtime.contract import Contract, SourceNames


def artifact_json(path: Path, contract: Contract) -> dict[str, Any]:
    """JSON of an artifact: its contract, and how large it is."""
    file, packed = _sizes(path)
    return {"source": str(path), "file_bytes": file, "packed_bytes": packed, "contract": contract.to_json()}


def artifact_lines(path: Path, contract: Contract) -> list[tuple[str, str]]:
    """What a person is told of an artifact, as pairs of a name and a text."""
    from policypress.environments.fit import in_words
    from policypress.report.quantities import size

    file, packed = _sizes(path)
    measured, state = contract.measured_return, ", ".join(spec.name for spec in contract.state)
    version = f", written by policypress {contract.policypress_version}" if contract.policypress_version else ""
    return [
        ("artifact", f"{path}{version}"),
        ("recipe", contract.recipe),
        ("numbers", contract.precision),
        ("size", f"{size(packed)} packed, {size(file)} as a file"),
        ("algorithm", contract.algorithm),
        ("environment", "not stated" if contract.environment is None else contract.environment.id),
        ("observations", in_words(contract.observation_space)),
        *[("image", f"{spec.name}: {layout}") for spec in contract.inputs if (layout := contract.layout_of(spec))],
        ("actions", in_words(contract.action_space)),
        ("folded in", ", ".join(contract.folded) or "nothing"),
        ("caller supplies", ", ".join(contract.caller_supplies) or "only the observation"),
        *([("memory", f"{state}: given to every step, and given back by it")] if state else []),
        *([] if contract.checked is None else [("compared with", contract.checked.in_words())]),
        *source_lines(contract.source),
        *[("assumed", sentence) for sentence in contract.assumptions],
        ("return", "not measured" if measured is None else _return(contract)),
        ("made from", contract.parent_sha256 or "not stated"),
    ]


def source_lines(source: SourceNames | None) -> list[tuple[str, str]]:
    """What the ONNX file before it calls its ends, and says beside its network."""
    if source is None:
        return []
    names = f"{', '.join(source.inputs)} -> {source.output}"
    return [("names in its file", names), *((f"  {key}", text) for key, text in source.metadata)]


def _return(contract: Contract) -> str:
    found = contract.measured_return
    if found is None:
        return ""
    interval = f"{found.confidence:.0%} interval {found.lower:.4g} to {found.upper:.4g}"
    return f"{found.mean:.4g} ({interval}, {found.count} episodes)"


def _sizes(path: Path) -> tuple[int, int]:
    import onnx

    from policypress.measurement.sizes import packed_bytes

    return path.stat().st_size, packed_bytes(onnx.load(path))
