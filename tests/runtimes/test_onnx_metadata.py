"""Reading an ONNX file's own words without the onnx package: the same as onnx reads, or an ArtifactError."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from small_policies import ACTIONS, KINDS
from written_artifacts import written

from policypress_runtime.errors import ArtifactError
from policypress_runtime.runtimes.onnx_metadata import described


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("action", ["box", "multi_discrete"])
def test_what_onnx_reads(kind: str, action: str, tmp_path: Path) -> None:
    content = written(KINDS[kind](ACTIONS[action]), tmp_path / "a.onnx").read_bytes()
    model = onnx.load_from_string(content)
    found = described(content, "a.onnx")
    assert found.metadata == {entry.key: entry.value for entry in model.metadata_props}
    for values, specs in ((model.graph.input, found.inputs), (model.graph.output, found.outputs)):
        assert [(s.name, s.dtype, s.shape) for s in specs] == [
            (
                value.name,
                helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
                tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)[1:],
            )
            for value in values
        ]


@pytest.mark.parametrize("content", [b"", b"\x08", b"\x3a\x05ab", b"\xff" * 30, b"not onnx", b"\x3b\x3b", bytes(10)])
def test_what_is_no_onnx(content: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"not ONNX[\s\S]*label"):
        described(content, "label")


@given(content=st.binary(max_size=200))
def test_any_bytes_give_a_description_or_the_error(content: bytes) -> None:
    try:
        found = described(content, "bytes")
    except ArtifactError:
        return
    assert all(isinstance(spec.name, str) for spec in (*found.inputs, *found.outputs))


def test_other_field_kinds_are_stepped_over() -> None:
    """Fixed-width fields do not occur in ONNX's own messages, but are valid in any."""
    graph = b"\x0a\x03abc" + b"\x99\x06" + bytes(8) + b"\x9d\x06" + bytes(4)
    assert described(b"\x3a" + bytes([len(graph)]) + graph, "bytes").inputs == ()
