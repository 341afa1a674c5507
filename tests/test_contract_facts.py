"""What a contract says of the file before it: names, and that file's own metadata, through every kind of artifact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from command_line import run
from policypress_runtime.contract import Contract, SourceNames
from policypress_runtime.contract_facts import MAX_METADATA, MAX_VALUE, kept_metadata, source_from
from policypress_runtime.errors import ArtifactError

JOINTS = {"joint_names": "hip,knee", "default_joint_pos": "0.100,-0.2", "action_scale": "0.25"}


def robot(folder: Path, metadata: dict[str, str] | None = None) -> Path:
    """A file as robots' frameworks write it: ``obs`` to ``actions``, and metadata beside the network."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
        for name, shape in (("w", (8, 5)), ("b", (8,)), ("v", (2, 8)), ("c", (2,)))
    ]
    nodes = [
        helper.make_node("Gemm", ["obs", "w", "b"], ["h"], transB=1),
        helper.make_node("Elu", ["h"], ["e"]),
        helper.make_node("Gemm", ["e", "v", "c"], ["actions"], transB=1),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, s]) for n, s in (("obs", 5), ("actions", 2))]
    graph = helper.make_graph(nodes, "robot", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for key, value in (JOINTS if metadata is None else metadata).items():
        model.metadata_props.add(key=key, value=value)
    file = folder / "robot.onnx"
    onnx.save(model, file)
    return file


def exported(source: Path, output: Path, *more: str) -> Path:
    done = run("export", str(source), "-o", str(output), *more)
    assert done.returncode == 0, done.stderr
    return output


def test_names_and_metadata_stay_through_quantization_and_c(tmp_path: Path) -> None:
    np.savez(tmp_path / "seen.npz", observations=np.random.default_rng(1).normal(size=(300, 5)).astype(np.float32))
    more = ("--recipe", "equalize > int8", "--observations", str(tmp_path / "seen.npz"))
    artifact = exported(robot(tmp_path), tmp_path / "small.onnx", *more)
    props = {entry.key: entry.value for entry in onnx.load(artifact).metadata_props}
    assert JOINTS.items() <= props.items()
    contract = Contract.from_text(props["policypress_runtime.contract"])
    assert contract.source == SourceNames(("obs",), "actions", tuple(sorted(JOINTS.items())))
    assert json.loads((tmp_path / "small.onnx.json").read_text())["source"]["metadata"] == JOINTS
    exported(artifact, tmp_path / "policy.c", "--observations", str(tmp_path / "seen.npz"))
    header = (tmp_path / "policy.h").read_text()
    assert "Names in its file: obs -> actions" in header
    assert "default_joint_pos: 0.100,-0.2" in header
    told = run("inspect", str(artifact)).stdout
    assert "obs -> actions" in told
    assert "hip,knee" in told


def test_an_artifact_in_fp32_hands_on_what_its_own_source_said(tmp_path: Path) -> None:
    first = exported(robot(tmp_path), tmp_path / "first.onnx")
    second = exported(first, tmp_path / "second.onnx")
    said = [json.loads((tmp_path / f"{name}.onnx.json").read_text())["source"] for name in ("first", "second")]
    assert said[0] == said[1]
    assert said[0]["metadata"] == JOINTS
    keys = [entry.key for entry in onnx.load(second).metadata_props]
    assert len(keys) == len(set(keys))


def test_what_cannot_be_held_is_left_out_and_said(tmp_path: Path) -> None:
    hostile = {"joint_names": "*/ hip\\", "title": "\x1b]0;x\x07", "long": "1" * (MAX_VALUE + 1)}
    done = run("export", str(robot(tmp_path, hostile)), "-o", str(tmp_path / "policy.c"))
    assert done.returncode == 0
    assert "'title, long'" in " ".join(done.stderr.split())
    header = (tmp_path / "policy.h").read_text()
    assert "joint_names: ?/ hip?" in header
    assert "\x1b" not in header


def test_metadata_is_bounded() -> None:
    many = [(f"k{i}", "x" * MAX_VALUE) for i in range(20)]
    kept, left = kept_metadata([*many, ("policypress.integer_bits", "{}"), ("k0", "again")])
    assert sum(len(key) + len(value) for key, value in kept) <= MAX_METADATA
    assert {key for key, _ in kept} | set(left) == {f"k{i}" for i in range(20)}


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {"inputs": ["a"], "output": "b"},
        {"inputs": ["a"], "output": "b\n", "metadata": {}},
        {"inputs": "a", "output": "b", "metadata": {}},
        {"inputs": ["a"], "output": "b", "metadata": {"k": 1}},
        {"inputs": ["a"], "output": "b", "metadata": {"k": "\x1b"}},
        {"inputs": ["a"], "output": "b", "metadata": {"": "x"}},
        {"inputs": ["a"], "output": "b", "metadata": {f"k{i}": "" for i in range(201)}},
    ],
)
def test_what_is_no_source_is_refused(wrong: Any) -> None:
    with pytest.raises(ArtifactError, match=r"source"):
        source_from(wrong)


def test_a_source_reads_back() -> None:
    source = SourceNames(("a", "b"), "c", (("k", "v\nw"),))
    assert source_from(json.loads(json.dumps(source.to_json()))) == source
