"""What a TorchScript file holds: modules as plain records, constants, and the text of its code.

``torch.jit.load`` would compile the code. Here its pickles go through the unpickler for tensors, in which the names of
the file's own classes stand for records, and the code stays text.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from policypress.agents.archive import Archive
from policypress.agents.bundle import Array
from policypress.agents.pickles.tensors import Checkpoint, Tensor, TensorUnpickler, remembered
from policypress.agents.sb3.tensors import finite_arrays
from policypress_runtime.errors import AgentError, DamagedAgentError

_CODE = "code/"
MAX_CODE_BYTES = 2**20
# They give values their types, which the values show here.
_TYPED = frozenset(
    f"torch.jit._pickle.{name}"
    for name in ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag")
)


class Module:
    """An object of the file's own classes: the class's name, and its attributes."""

    name = ""

    def __new__(cls, *_: Any) -> Module:
        """Keep everything here: a pickle may call this and never ``__init__``."""
        made = super().__new__(cls)
        made.fields = {}
        return made

    fields: dict[str, Any]

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.fields.update(state)


class _ScriptUnpickler(TensorUnpickler):
    def find_class(self, module: str, name: str) -> Any:
        dotted = f"{module}.{name}"
        if dotted.startswith("__torch__."):
            return type("Module", (Module,), {"name": dotted})
        if dotted in _TYPED:
            return lambda value, *_: value
        return super().find_class(module, name)


@dataclass(frozen=True)
class Script:
    """One file.

    Args:
        label: what to call it in messages.
        root: the module that was saved.
        code: text by the place that qualified names have, ``__torch__.torch.nn.modules.linear``.
        constants: what code calls ``CONSTANTS.c0`` and so on.
        numbers: a tensor's numbers as float32.
    """

    label: str
    root: Module
    code: Mapping[str, str]
    constants: tuple[Any, ...]
    numbers: Callable[[Tensor, bool], Array]


def is_torchscript(archive: Archive) -> bool:
    """Whether the zip holds code, as ``torch.jit.save`` writes it."""
    return any(name.split("/")[1:2] == ["code"] for name in archive.names)


def read_script(archive: Archive, size_bytes: int) -> Script:
    """The file's parts; nothing of it is executed.

    Raises:
        UnsafeAgentError: a pickle asks for anything but tensors and the file's own classes.
        DamagedAgentError: it is truncated, or not as ``torch.jit.save`` writes it.
    """
    prefix = next(name for name in archive.names if name.split("/")[1:2] == ["code"]).partition("/")[0] + "/"
    try:
        root, data = _pickle(archive, prefix, "data")
        constants, other = (
            _pickle(archive, prefix, "constants") if f"{prefix}constants.pkl" in archive.names else ((), data)
        )
        code = _code(archive, prefix)
    except AgentError:
        raise
    # Damaged pickles raise nearly everything: EOFError, IndexError, struct.error, UnicodeDecodeError, ...
    except Exception as error:
        raise DamagedAgentError(
            f"{archive.label} is a damaged TorchScript file.",
            got=f"{type(error).__name__}: {str(error)[:200]}",
            expected="a complete file as torch.jit.save writes it",
            hint="Download or copy the file again.",
        ) from error
    if not isinstance(root, Module):
        raise DamagedAgentError(
            f"{archive.label} holds no module.", got=type(root).__name__, expected="a file as torch.jit.save writes it"
        )

    known: dict[tuple[Tensor, bool], Array] = {}

    def numbers(tensor: Tensor, constant: bool) -> Array:
        # Code may ask for the same tensor as often as it likes.
        if (tensor, constant) not in known:
            read = finite_arrays({"tensor": tensor}, other if constant else data, size_bytes, archive.label)
            known[tensor, constant] = read["tensor"]
        return known[tensor, constant]

    return Script(archive.label, root, code, constants if isinstance(constants, tuple) else (), numbers)


def _pickle(archive: Archive, prefix: str, name: str) -> tuple[Any, Checkpoint]:
    content = archive.read(f"{prefix}{name}.pkl")
    order = archive.read(f"{prefix}byteorder") if f"{prefix}byteorder" in archive.names else b"little"
    value = _ScriptUnpickler(io.BytesIO(content), len(content), archive.label).load()
    storages = remembered(lambda key: archive.read(f"{prefix}{name}/{key}"))
    return value, Checkpoint(value, storages, order.strip() == b"big")


def _code(archive: Archive, prefix: str) -> dict[str, str]:
    start = prefix + _CODE
    names = [name for name in archive.names if name.startswith(start) and name.endswith(".py")]
    texts, left = {}, MAX_CODE_BYTES
    for name in names:
        content = archive.read(name)
        left -= len(content)
        if left < 0:
            raise ValueError(f"more than {MAX_CODE_BYTES} bytes of code")
        texts[name.removeprefix(start).removesuffix(".py").replace("/", ".")] = content.decode()
    return texts
