"""PyTorch's checkpoint file, in both of its forms, read as numbers without PyTorch.

``torch.load(weights_only=True)`` still calls what a few bytes ask for: ``bytearray(6 * 2**30)``,
``torch.FloatStorage(10**10)``. Here the pickle gives only names, places and shapes; numbers come from the bytes
that the file has, and every tensor is a view of them.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from policypress.agents.archive import Archive
from policypress.agents.pickles.counted import CountedUnpickler
from policypress_runtime.errors import UnsafeAgentError

Numbers = npt.NDArray[Any]

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "Float": "f4",
    "Double": "f8",
    "Half": "f2",
    "BFloat16": "bfloat16",
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "?",
}
_STORAGES = {f"torch.{place}{name}Storage": code for name, code in _DTYPES.items() for place in ("", "cuda.")}
_NOT_DENSE = ("torch._utils._rebuild_", "torch._tensor._rebuild_", "torch.Complex", "torch.Q", "torch.storage.")


class NotTensorsError(Exception):
    """The file holds something else than dense tensors of real numbers."""


@dataclass(frozen=True)
class _StorageKind:
    code: str


@dataclass(frozen=True)
class _Storage:
    key: str
    code: str


@dataclass(frozen=True)
class Tensor:
    """A tensor as the pickle tells it: a view of the storage ``key``, offset and strides in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def storage_of(key: str, code: str) -> _Storage:
    """A storage by its key and numpy's code of its elements (or ``bfloat16``)."""
    return _Storage(key, code)


class _State(dict[Any, Any]):
    """What ``OrderedDict`` becomes; its attributes (``_metadata``) are left out."""

    def __init__(self, *pairs: Any) -> None:
        if pairs not in ((), ([],), ((),)):
            raise pickle.UnpicklingError("an OrderedDict of a form that torch does not write")
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Nothing of it is needed."""


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    parts = (size, stride)
    if not isinstance(storage, _Storage) or not all(isinstance(part, tuple) for part in parts):
        raise pickle.UnpicklingError("a tensor without a storage")
    if not all(type(n) is int and 0 <= n < 2**48 for n in (offset, *size, *stride)) or len(size) != len(stride):
        raise pickle.UnpicklingError(f"a tensor of shape {size!r:.80}")
    if len(size) > 32:
        raise pickle.UnpicklingError(f"a tensor of {len(size)} axes")
    return Tensor(storage, offset, size, stride)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
}


class Unread:
    """An object that stands beside the tensors of a training and is not read: a numpy number, its dtype."""

    def __new__(cls, *_: Any) -> Unread:
        """Keep nothing: a pickle may call this."""
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Nothing of it is needed."""


# What trainings keep in a checkpoint beside their tensors (the best return so far as a numpy number).
_BESIDE = frozenset(
    ["numpy.dtype", "numpy.ndarray", "_codecs.encode"]
    + [f"numpy.{place}.multiarray.{name}" for place in ("core", "_core") for name in ("scalar", "_reconstruct")]
)


class TensorUnpickler(CountedUnpickler):
    """Gives names of storages and tensors for what torch pickles, and nothing else; subclasses may know more names."""

    def __init__(self, file: io.BytesIO, length: int, label: str, *, whole_training: bool = False) -> None:
        super().__init__(file, length)
        self._label = label
        self._whole_training = whole_training

    def find_class(self, module: str, name: str) -> Any:
        """Our stand-in for an allowed name; any other name is refused."""
        dotted = f"{module}.{name}"
        if dotted == "collections.OrderedDict":
            return _State
        if dotted in _STORAGES:
            return _StorageKind(_STORAGES[dotted])
        if dotted in _FUNCTIONS:
            function = _FUNCTIONS[dotted]
            # A fresh function per load: a pickle may set attributes on what it is given.
            return lambda *arguments: function(*arguments)
        if self._whole_training and dotted in _BESIDE:
            return type("Unread", (Unread,), {})
        if self._whole_training and dotted == "collections.defaultdict":
            return lambda *_: _State()
        if dotted.startswith(_NOT_DENSE) or dotted in ("torch.Size", "torch.device"):
            raise NotTensorsError(dotted)
        raise UnsafeAgentError(
            f"{self._label} pickles more than tensors; loading it would execute code from the file.",
            got=dotted[:200],
            expected="tensors only",
            hint="Do not load this file with anything else either, unless you trust its author.",
        )

    def persistent_load(self, pid: Any) -> Any:
        """A storage, by its key."""
        match pid:
            case ("storage", _StorageKind(code), key, _, _) if isinstance(key, str | int):
                return _Storage(str(key), code)
            # The older form names views of storages too, and no state dict of a policy has them.
            case ("storage", _StorageKind(code), key, _, _, None) if isinstance(key, str | int):
                return _Storage(str(key), code)
        raise pickle.UnpicklingError("a reference that is no storage")


@dataclass(frozen=True)
class Checkpoint:
    """What the pickle told, and the bytes of the storages by key."""

    metadata: object
    storages: Callable[[str], bytes]
    big_endian: bool = False

    def numbers(self, tensor: Tensor) -> Numbers:
        """The tensor's numbers, a view of the file's bytes (bfloat16: of its storage as float32).

        Raises:
            ValueError: the storage has fewer bytes than the tensor needs.
        """
        content = self.storages(tensor.storage.key)
        order: Literal["<", ">"] = ">" if self.big_endian else "<"
        if tensor.storage.code == "bfloat16":
            halves = np.frombuffer(content, f"{order}u2")
            buffer: Numbers = (halves.astype(np.uint32) << 16).view(np.float32)
        else:
            kind = np.dtype(tensor.storage.code).newbyteorder(order)
            buffer = np.frombuffer(content, kind, count=len(content) // kind.itemsize)
        size = buffer.itemsize
        if 0 in tensor.shape:
            return np.zeros(tensor.shape, buffer.dtype)
        return np.ndarray(
            tensor.shape,
            buffer.dtype,
            buffer=memoryview(buffer),  # type: ignore[arg-type]
            offset=tensor.offset * size,
            strides=tuple(n * size for n in tensor.strides),
        )


def read_checkpoint(content: bytes, label: str, *, whole_training: bool = False) -> Checkpoint:
    """What ``torch.save`` wrote, in today's zip form or the older pickle form.

    Args:
        content: the file.
        label: what to call it in messages.
        whole_training: numbers of numpy may stand beside the tensors; they are not read (:class:`Unread`).

    Raises:
        UnsafeAgentError: its pickle asks for anything but tensors.
        NotTensorsError: it holds tensors of other kinds than dense ones of real numbers.
        AgentError: the zip breaks a limit.
        Exception: whatever a damaged pickle raises.
    """
    if zipfile.is_zipfile(io.BytesIO(content)):
        return _zip_form(Archive(content, label), label, whole_training)
    return _pickle_form(content, label, whole_training)


def _zip_form(archive: Archive, label: str, whole_training: bool) -> Checkpoint:
    roots = [name.removesuffix("data.pkl") for name in archive.names if name.split("/")[1:] == ["data.pkl"]]
    if len(roots) != 1:
        raise pickle.UnpicklingError("no data.pkl in the zip")
    root = roots[0]
    order = archive.read(f"{root}byteorder") if f"{root}byteorder" in archive.names else b"little"
    metadata = archive.read(f"{root}data.pkl")
    return Checkpoint(
        TensorUnpickler(io.BytesIO(metadata), len(metadata), label, whole_training=whole_training).load(),
        remembered(lambda key: archive.read(f"{root}data/{key}")),
        order.strip() == b"big",
    )


def remembered(read: Callable[[str], bytes]) -> Callable[[str], bytes]:
    """Each storage is inflated once, however many tensors share it."""
    known: dict[str, bytes] = {}

    def storage(key: str) -> bytes:
        if key not in known:
            known[key] = read(key)
        return known[key]

    return storage


def _pickle_form(content: bytes, label: str, whole_training: bool) -> Checkpoint:
    file = io.BytesIO(content)

    def load() -> Any:
        return TensorUnpickler(file, len(content), label, whole_training=whole_training).load()

    magic, _, system = load(), load(), load()
    if magic != _MAGIC:
        raise pickle.UnpicklingError("it does not begin as torch.save writes it")
    metadata, keys = load(), load()
    if not isinstance(keys, list) or not all(isinstance(key, str | int) for key in keys):
        raise pickle.UnpicklingError("its list of storages is damaged")
    big = isinstance(system, Mapping) and system.get("little_endian") is False
    sizes = _storage_sizes(metadata)
    storages: dict[str, bytes] = {}
    for key in map(str, keys):
        count = int.from_bytes(_exactly(file, 8), "big" if big else "little")
        storages[key] = _exactly(file, count * sizes.get(key, 1))
    return Checkpoint(metadata, storages.__getitem__, big)


def _storage_sizes(metadata: object) -> dict[str, int]:
    """Bytes of an element, by the key of the storage."""
    kinds = {tensor.storage.key: tensor.storage.code for tensor in _tensors_in(metadata)}
    return {key: 2 if code == "bfloat16" else np.dtype(code).itemsize for key, code in kinds.items()}


def _tensors_in(metadata: object) -> Iterator[Tensor]:
    """Every tensor, however deep; a pickle may contain what contains it."""
    waiting, seen = [metadata], set[int]()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, Mapping | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values() if isinstance(value, Mapping) else value)


def _exactly(file: io.BytesIO, count: int) -> bytes:
    # The file is in memory, so that a count which lies gives fewer bytes and takes nothing.
    content = file.read(count) if count < 2**48 else b""
    if len(content) != count:
        raise EOFError("the file ends before its storages do")
    return content
