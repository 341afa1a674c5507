"""Weights beside the file: read where they are whole and in the same folder, else an error that says what to do."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from policypress.agents.bundle import OnnxNetwork
from policypress.agents.onnx_reading import file as onnx_file
from policypress.agents.onnx_reading.file import read_onnx
from policypress.policy.importers.from_agent import policy_from_agent
from policypress_runtime.errors import AgentError, DamagedAgentError, UnsafeAgentError

W = np.arange(12, dtype=np.float32).reshape(4, 3)
DATA = b"\1" * 16 + W.tobytes()


def tensor(name: str = "w", **places: str) -> onnx.TensorProto:
    """``W`` in another file."""
    result = onnx.TensorProto(name=name, data_type=TensorProto.FLOAT, dims=W.shape)
    result.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "a.onnx.data", "offset": "16", "length": "48", **places}.items():
        if value != "-":
            result.external_data.add(key=key, value=value)
    return result


def model_of(weights: onnx.TensorProto | None = None, node: onnx.NodeProto | None = None) -> onnx.ModelProto:
    """``actions = obs @ w``, where ``w`` is a weight of the graph or given by a node."""
    graph = helper.make_graph(
        [*([] if node is None else [node]), helper.make_node("MatMul", ["obs", "w"], ["actions"])],
        "g",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("actions", TensorProto.FLOAT, ["n", 3])],
        [] if weights is None else [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def written(folder: Path, model: onnx.ModelProto, data: bytes | None = DATA, name: str = "a.onnx.data") -> Path:
    (folder / "a.onnx").write_bytes(model.SerializeToString())
    if data is not None:
        (folder / name).write_bytes(data)
    return folder / "a.onnx"


def weights_of(path: Path) -> Any:
    bundle = read_onnx(path)
    assert isinstance(bundle.network, OnnxNetwork)
    # Nothing outside is needed any more.
    for file in path.parent.iterdir():
        file.unlink()
    policy = policy_from_agent(bundle)
    return next(layer for _, layer in policy.weighted_layers()).weight.detach().numpy().T


@pytest.mark.parametrize(
    "places", [{}, {"length": "-"}, {"location": "weights.bin"}, {"checksum": "0"}, {"location": "a b;c.data"}], ids=str
)
def test_weights_beside_the_file_are_part_of_the_agent(tmp_path: Path, places: dict[str, str]) -> None:
    name = places.get("location", "a.onnx.data")
    path = written(tmp_path, model_of(tensor(**places)), name=name)
    both = hashlib.sha256(path.read_bytes() + DATA).hexdigest()
    assert read_onnx(path).provenance.sha256 == both
    assert np.array_equal(weights_of(path), W)


def test_without_an_offset_they_start_where_the_file_does(tmp_path: Path) -> None:
    path = written(tmp_path, model_of(tensor(offset="-")), W.tobytes())
    assert np.array_equal(weights_of(path), W)


def test_the_hash_is_of_all_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    model = model_of(tensor(location="z.data"))
    model.graph.initializer.append(tensor("unused", location="b.data"))
    path = written(tmp_path, model, name="z.data")
    (tmp_path / "b.data").write_bytes(DATA + b"b")
    whole = path.read_bytes() + DATA + b"b" + DATA
    assert read_onnx(path).provenance.sha256 == hashlib.sha256(whole).hexdigest()


def test_tensors_of_nodes_and_functions_are_read_by_the_same_rule(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["w"], value=tensor())
    assert np.array_equal(weights_of(written(tmp_path, model_of(node=constant))), W)
    body = [constant, helper.make_node("MatMul", ["x", "w"], ["y"])]
    function = helper.make_function("f", "Net", ["x"], ["y"], body, [helper.make_opsetid("", 17)])
    model = model_of(W_inside := numpy_helper.from_array(W, "w"))
    assert not W_inside.external_data
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("f", 1))
    model.graph.node[0].CopyFrom(helper.make_node("Net", ["obs"], ["actions"], domain="f"))
    assert np.array_equal(weights_of(written(tmp_path, model)), W)


def hidden(place: str, outside: onnx.TensorProto) -> onnx.ModelProto:
    """A model that names another file where it is easily overlooked."""
    model = model_of(numpy_helper.from_array(W, "w"))
    sparse = onnx.SparseTensorProto(dims=[4, 3])
    sparse.values.CopyFrom(outside)
    sparse.values.dims[:] = [1]
    sparse.indices.CopyFrom(numpy_helper.from_array(np.int64([0])))
    constant = helper.make_node("Constant", [], ["unused"], value=outside)
    if place == "node":
        model.graph.node.append(constant)
    elif place == "sparse attribute":
        model.graph.node.append(helper.make_node("Constant", [], ["unused"], sparse_value=sparse))
    elif place == "sparse weight":
        model.graph.sparse_initializer.append(sparse)
    elif place == "function":
        model.functions.append(
            helper.make_function("f", "F", [], ["unused"], [constant], [helper.make_opsetid("", 17)])
        )
    elif place == "inner graph":
        out = [helper.make_tensor_value_info("unused", TensorProto.FLOAT, [4, 3])]
        inner = helper.make_graph([constant], "inner", [], out)
        model.graph.node.append(helper.make_node("If", ["w"], ["u"], then_branch=inner, else_branch=inner))
    else:
        model.training_info.add().algorithm.initializer.append(outside)
    return model


PLACES = ["node", "sparse attribute", "sparse weight", "function", "inner graph", "training"]


@pytest.mark.parametrize("place", PLACES)
def test_no_place_of_a_file_is_overlooked(tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(DATA)
    folder = tmp_path / "folder"
    folder.mkdir()
    path = written(folder, hidden(place, tensor(location="../outside")))
    with pytest.raises(UnsafeAgentError, match="is not a plain file name"):
        read_onnx(path)


NAMES = [
    "",
    ".",
    "..",
    "/etc/passwd",
    "../../etc/passwd",
    "sub/x.data",
    "a\\b",
    "c:x",
    "a\0b",
    "\x1b[31m",
    "*",
    "x" * 300,
]


@pytest.mark.parametrize("name", [*NAMES, "*/_ORT_MEM_ADDR_/*"])
def test_names_that_are_not_of_a_file_beside(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeAgentError, match=r"(?s)plain name.*save_as_external_data=False") as caught:
        read_onnx(written(tmp_path, model_of(tensor(location=name))))
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_links_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "blobs").mkdir()
    path = written(tmp_path / "folder", model_of(tensor()), None)
    (tmp_path / "blobs" / "1").write_bytes(DATA)
    (tmp_path / "folder" / "a.onnx.data").symlink_to(tmp_path / "blobs" / "1")
    with pytest.raises(UnsafeAgentError, match="link to another folder"):
        read_onnx(path)
    # A cache of downloads keeps both files in one other folder, and links to them.
    path.rename(tmp_path / "blobs" / "2")
    path.symlink_to(tmp_path / "blobs" / "2")
    assert read_onnx(path).algorithm == "onnx"


@pytest.mark.parametrize("kind", ["folder", "fifo", "device"])
def test_what_is_no_regular_file(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, model_of(tensor()), None)
    beside = tmp_path / "a.onnx.data"
    if kind == "folder":
        beside.mkdir()
    elif kind == "fifo":
        os.mkfifo(beside)
    else:
        beside.symlink_to("/dev/zero")
    with pytest.raises(UnsafeAgentError):
        read_onnx(path)


def test_a_missing_file_is_named_and_a_renamed_one_found(tmp_path: Path) -> None:
    path = written(tmp_path, model_of(tensor()), None)
    with pytest.raises(DamagedAgentError, match=r"(?s)'a\.onnx\.data'.*which is missing.*Copy 'a\.onnx\.data'"):
        read_onnx(path)
    other = tmp_path / "b.onnx.data"
    other.write_bytes(DATA)
    with pytest.raises(DamagedAgentError, match=r"Is it 'b\.onnx\.data'\? Rename it to 'a\.onnx\.data'"):
        read_onnx(path)
    other.rename(tmp_path / "a.onnx.data")
    assert np.array_equal(weights_of(path), W)


def test_a_pointer_in_place_of_the_weights(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 64\n"
    with pytest.raises(DamagedAgentError, match=r"(?s)Git LFS.*git lfs pull"):
        read_onnx(written(tmp_path, model_of(tensor()), pointer))


DAMAGED = [
    {"offset": "17"},
    {"length": "47"},
    {"length": "49"},
    {"offset": "-1"},
    {"offset": "x"},
    {"offset": "9" * 30},
    {"length": "1e3"},
    {"offset": "\u0661"},
]


@pytest.mark.parametrize("places", DAMAGED, ids=str)
def test_places_that_do_not_fit(tmp_path: Path, places: dict[str, str]) -> None:
    with pytest.raises(DamagedAgentError):
        read_onnx(written(tmp_path, model_of(tensor(**places))))


@pytest.mark.parametrize(("kind", "shape"), [(TensorProto.STRING, (1,)), (99, (1,)), (TensorProto.FLOAT, (-1, 2))])
def test_kinds_without_a_size(tmp_path: Path, kind: int, shape: tuple[int, ...]) -> None:
    outside = tensor()
    outside.data_type = kind
    outside.dims[:] = shape
    with pytest.raises(DamagedAgentError):
        read_onnx(written(tmp_path, model_of(outside)))


def test_many_tensors_of_one_place_share_one_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that is named often would fill the memory."""
    model = model_of(tensor())
    model.graph.initializer.extend(tensor(f"w{i}") for i in range(100))
    path = written(tmp_path, model)
    assert read_onnx(path).algorithm == "onnx"
    monkeypatch.setattr(onnx_file, "MAX_ONNX_BYTES", path.stat().st_size + 48 * 50)
    with pytest.raises(DamagedAgentError, match="too large"):
        read_onnx(path)
    monkeypatch.setattr(onnx_file, "MAX_ONNX_BYTES", path.stat().st_size + len(DATA) - 1)
    with pytest.raises(AgentError, match="too large"):
        read_onnx(path)


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    with pytest.raises(DamagedAgentError, match="not finite"):
        read_onnx(written(tmp_path, model_of(tensor()), b"\1" * 16 + np.full(12, np.nan, np.float32).tobytes()))
