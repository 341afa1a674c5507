"""The checkpoint file read without PyTorch gives the numbers that PyTorch gives, and nothing is built besides."""

from __future__ import annotations

import io
import pickle
import zipfile
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from policypress.agents.pickles.tensors import Tensor, read_checkpoint
from policypress.agents.sb3.tensors import read_tensors
from policypress_runtime.errors import AgentError, UnsafeAgentError

DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


def saved(value: Any, *, modern: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=modern)
    return buffer.getvalue()


@pytest.mark.parametrize("modern", [True, False])
@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(st.integers(0, 4), max_size=4),
    view=st.sampled_from(["whole", "transposed", "part", "row"]),
)
def test_every_number_is_pytorchs(modern: bool, dtype: str, shape: list[int], view: str) -> None:
    generator = torch.Generator().manual_seed(sum(shape))
    full = (torch.randn([2, *shape], generator=generator) * 50).to(getattr(torch, dtype))
    tensor = {"whole": full, "transposed": full.transpose(0, -1), "part": full[1], "row": full[:1]}[view]
    module = {"w": tensor, "again": tensor, "p": torch.nn.Parameter(tensor.float())}
    read = read_tensors(saved(module, modern=modern), "x")
    expected = torch.load(io.BytesIO(saved(module, modern=modern)), weights_only=True)
    for name, value in expected.items():
        assert read[name].shape == tuple(value.shape)
        assert np.array_equal(read[name], value.detach().float().numpy())


def test_a_module_s_state_with_its_metadata() -> None:
    state = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).state_dict()
    assert list(read_tensors(saved(state), "x")) == list(state)


def test_tensors_are_told_before_they_are_read() -> None:
    metadata = read_checkpoint(saved({"w": torch.zeros(2, 3)}), "x").metadata
    assert isinstance(metadata, dict)
    assert isinstance(metadata["w"], Tensor)
    assert (metadata["w"].shape, metadata["w"].strides) == ((2, 3), (3, 1))


MAGIC = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))


def zipped(metadata: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", metadata)
    return buffer.getvalue()


HUGE = b"\x8a\x05" + (6 * 2**30).to_bytes(5, "little")


@pytest.mark.parametrize("form", [zipped, lambda metadata: MAGIC + metadata])
@pytest.mark.parametrize(
    "name",
    [
        b"builtins\nbytearray",
        b"__builtin__\nbytearray",
        b"torch\nFloatStorage",
        b"torch.storage\nUntypedStorage",
        b"torch\nFloatTensor",
        b"torch\nSize",
        b"collections\nOrderedDict",
        b"collections\nCounter",
        b"torch._utils\n_rebuild_meta_tensor_no_storage",
        b"_codecs\nencode",
    ],
)
def test_nothing_is_made_of_a_number(form: Any, name: bytes) -> None:
    with pytest.raises(AgentError):
        read_tensors(form(b"\x80\x02c" + name + b"\n" + HUGE + b"\x85R."), "x")


def test_other_names_are_refused_as_code() -> None:
    with pytest.raises(UnsafeAgentError, match=r"os\.system"):
        read_tensors(zipped(b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R."), "x")


def test_a_storage_that_is_shorter_than_its_tensor() -> None:
    content = saved({"w": torch.arange(6.0)})
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, member in members.items():
            file.writestr(name, member[:8] if name.endswith("data/0") else member)
    with pytest.raises(AgentError, match="damaged"):
        read_tensors(buffer.getvalue(), "x")
