"""Constants of the generated C: arrays in text, or in a file of their own that the assembler includes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from policypress_runtime.errors import NetworkError

C_TYPES = {"float32": "float", "int8": "int8_t", "uint8": "uint8_t", "uint16": "uint16_t", "int32": "int32_t"}
LINE = 110
_INCLUDED_ALIGNMENT_BYTES = 64


def number(value: float | int) -> str:
    """A float as a C expression that reads back as the same float32."""
    single = np.float32(value)
    if np.isnan(single):
        raise NetworkError("A constant of the network is not a number.", got="NaN", expected="finite numbers")
    if np.isinf(single):
        return "PP_INFINITY" if single > 0 else "(-PP_INFINITY)"
    text = f"{float(single):.9g}"
    text = text if any(c in text for c in ".e") else f"{text}.0"
    return f"({text}f)" if text.startswith("-") else f"{text}f"


@dataclass
class Constants:
    """Collects arrays under C names; equal ones are stored once.

    Args:
        prefix: of every name.
        alignment_bytes: of every array.
        form: ``text``, or ``incbin`` for a file of bytes that keeps compilation short.
    """

    prefix: str
    form: Literal["text", "incbin"] = "text"
    alignment_bytes: int = 64
    declarations: list[str] = field(default_factory=list)
    blob: bytearray = field(default_factory=bytearray)
    size_bytes: int = 0
    largest_bytes: int = 0
    _names: dict[tuple[str, bytes], str] = field(default_factory=dict)

    def add(self, hint: str, values: npt.NDArray[Any]) -> str:
        """Name of a constant array with these values."""
        array = np.ascontiguousarray(values).reshape(-1)
        key = (str(array.dtype), array.tobytes())
        if key not in self._names:
            name = f"{self.prefix}_c{len(self._names)}_{hint}"
            self._names[key] = name
            self.size_bytes += array.nbytes
            self.largest_bytes = max(self.largest_bytes, array.nbytes)
            self.declarations.append(self._text(name, array) if self.form == "text" else self._included(name, array))
        return self._names[key]

    def _text(self, name: str, array: npt.NDArray[Any]) -> str:
        written = number if array.dtype == np.float32 else str
        items = [written(v) for v in array.tolist()]
        kind = C_TYPES[str(array.dtype)]
        declared = f"static const PP_FLASH {kind} {name}[{array.size}] PP_ALIGN({self.alignment_bytes})"
        return f"{declared} = {{\n{wrapped(items)}}};\n"

    def _included(self, name: str, array: npt.NDArray[Any]) -> str:
        self.blob += bytes(-len(self.blob) % _INCLUDED_ALIGNMENT_BYTES)
        position = len(self.blob)
        self.blob += array.tobytes()
        kind = C_TYPES[str(array.dtype)]
        macro = self.prefix.upper()
        return (
            f'{macro}_INCLUDE("{name}", "{position}", "{array.nbytes}")\n'
            f'extern const {kind} {name}[{array.size}] __attribute__((visibility("hidden")));\n'
        )

    @property
    def file(self) -> str:
        """Name of the file of bytes; it has their hash, so that C is never compiled with those of another policy."""
        return f"{self.prefix}-{hashlib.sha256(self.blob).hexdigest()[:16]}.bin"

    def preamble(self) -> str:
        """What stands before the declarations."""
        if self.form == "text":
            return ""
        macro, file = self.prefix.upper(), self.file
        return f"""#ifndef {macro}_WEIGHTS_FILE
#define {macro}_WEIGHTS_FILE "{file}"
#endif
#define {macro}_TEXT_(x) #x
#define {macro}_TEXT(x) {macro}_TEXT_(x)
#define {macro}_SYMBOL {macro}_TEXT(__USER_LABEL_PREFIX__)
#define {macro}_INCLUDE(name, position, count)                                            \\
    __asm__(".section .rodata\\n.balign {_INCLUDED_ALIGNMENT_BYTES}\\n" {macro}_SYMBOL name ":\\n"                   \\
            ".incbin \\"" {macro}_WEIGHTS_FILE "\\", " position ", " count "\\n.previous\\n");

"""


def wrapped(items: list[str]) -> str:
    """Items with commas, in lines of a readable width."""
    lines: list[str] = []
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > LINE:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join([*lines, line]) + "\n"
