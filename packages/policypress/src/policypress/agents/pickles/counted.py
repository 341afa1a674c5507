"""The unpickler under every reader of pickles: operations, keys and sizes are counted, nothing real is called.

``pickle`` leaves more to a file than names: a dict of integers that collide takes hours, a tuple of tuples of the
same tuple is hashed in exponential time, ``bytearray(6 * 2**30)`` is nine bytes. Here the operations are counted
before anything is built, keys are text or small numbers, and sets and extension codes, which no reader of ours
needs, are refused. What ``find_class`` gives is for subclasses to say.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

MAX_OPCODES = 500_000

_SMALL = 2**60
_REFUSED_OPCODES = frozenset(["EMPTY_SET", "ADDITEMS", "FROZENSET", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER"])


def check_opcodes(file: io.BytesIO, length: int) -> None:
    """Count the operations of the pickle that starts where ``file`` stands, and go back there.

    Args:
        file: the pickle.
        length: bytes of the whole file.

    Raises:
        pickle.UnpicklingError: too many operations, or one that no reader of ours needs.
        Exception: whatever ``pickletools`` raises for what is no pickle.
    """
    start = file.tell()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if count > MAX_OPCODES:
            raise pickle.UnpicklingError("too many operations")
        if opcode.name in _REFUSED_OPCODES:
            raise pickle.UnpicklingError(f"operation {opcode.name}")
        # Where the memo is an array it is as long as its highest index.
        if "PUT" in opcode.name and isinstance(argument, int) and argument > length:
            raise pickle.UnpicklingError(f"memo index {argument}")
    file.seek(start)


def _check_keys(keys: Iterable[Any]) -> None:
    for key in keys:
        # Text is hashed with a secret of the process; small integers do not collide.
        if not (key is None or type(key) in (str, bytes, bool) or (type(key) is int and abs(key) < _SMALL)):
            raise pickle.UnpicklingError(f"a key of type {type(key).__name__}, or a number that is too large")


class CountedUnpickler(pickle._Unpickler):
    """Python's own unpickler in Python, with the checks of this module; ``file`` stands at the pickle's start."""

    def __init__(self, file: io.BytesIO, length: int) -> None:
        check_opcodes(file, length)
        super().__init__(file, fix_imports=False)
        # What functions of ours may make from the file's bytes, all together.
        self._left_bytes = 2 * length + 2**16

    def find_class(self, module: str, name: str) -> Any:
        """Subclasses say what a name stands for; by default no name stands for anything."""
        raise pickle.UnpicklingError(f"{module}.{name}")

    def charge(self, made_bytes: int) -> None:
        """Count bytes that a function of ours is about to make.

        Raises:
            pickle.UnpicklingError: the file has made more than twice its own size.
        """
        self._left_bytes -= made_bytes
        if self._left_bytes < 0:
            raise pickle.UnpicklingError("the same bytes repeated many times")

    def _setitem(self) -> None:
        _check_keys(self.stack[-2:-1])  # type: ignore[attr-defined]
        super().load_setitem()  # type: ignore[misc]

    def _setitems(self) -> None:
        # What stands above the mark: keys and values in turn.
        _check_keys(self.stack[::2])  # type: ignore[attr-defined]
        super().load_setitems()  # type: ignore[misc]

    def _dict(self) -> None:
        _check_keys(self.stack[::2])  # type: ignore[attr-defined]
        super().load_dict()  # type: ignore[misc]

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **pickle._Unpickler.dispatch,
        pickle.SETITEM[0]: _setitem,
        pickle.SETITEMS[0]: _setitems,
        pickle.DICT[0]: _dict,
    }
