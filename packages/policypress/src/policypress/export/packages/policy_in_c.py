"""What a package is made from: the proven C, and how it is called, in names that are ours."""

from __future__ import annotations

import re
from dataclasses import dataclass

from policypress_runtime.codegen.program import Program
from policypress_runtime.codegen.render import Source
from policypress_runtime.codegen.rendering.interface import C_TYPES, c_type
from policypress_runtime.contract import Contract

VERSION = "0.1.0"
_SAFE = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Argument:
    """One array of a call: its C name, the type of its elements, and how many."""

    name: str
    kind: str
    size: int


@dataclass(frozen=True)
class PolicyInC:
    """A policy's C and its call.

    Args:
        name: prefix of its C names, and name of the package: lower-case letters, digits and underscores.
        source: the proven C.
        inputs: in the order of the call.
        action: what is written.
        contract: of the artifact; its text comes from files, and reaches a package by ``foreign`` alone.
    """

    name: str
    source: Source
    inputs: tuple[Argument, ...]
    action: Argument
    contract: Contract

    @property
    def scratch_bytes(self) -> int:
        """Working memory that the caller gives; 0 where the C takes it from the stack."""
        return self.source.sizes.scratch if self.source.sizes.given else 0

    @property
    def sources(self) -> dict[str, bytes]:
        """The C file and its header, by name."""
        return {f"{self.name}.c": self.source.c.encode(), f"{self.name}.h": self.source.h.encode()}

    def declared(self) -> str:
        """C: static arrays for a call."""
        lines = [f"static {part.kind} {part.name}[{part.size}];" for part in (*self.inputs, self.action)]
        if self.scratch_bytes:
            lines.append(f"static unsigned char scratch[{self.scratch_bytes}];")
        return "\n".join(lines)

    def call(self) -> str:
        """C: one action of those arrays."""
        given = ", ".join([*(part.name for part in self.inputs), self.action.name])
        return f"{self.name}_act_with(scratch, {given})" if self.scratch_bytes else f"{self.name}_act({given})"

    def filled(self, text: str, **more: object) -> str:
        """A template with ``@NAME@`` and the like replaced: names of ours, numbers, and what ``foreign`` gave."""
        values = {
            "NAME": self.name,
            "MACRO": self.name.upper(),
            "DASHED": self.name.replace("_", "-"),
            "VERSION": VERSION,
            "DECLARED": self.declared(),
            "CALL": self.call(),
            "ACTION": self.action.name,
            "ACTION_SIZE": self.action.size,
            **more,
        }
        return re.sub(r"@([A-Z_]+)@", lambda found: str(values[found[1]]), text)


def _own(name: str) -> str:
    """A name for an array: that of a part of a dict may be a word of a language (``type``, ``loop``)."""
    return name if name == "observation" else f"{name}_in"


def policy_in_c(name: str, source: Source, program: Program, contract: Contract) -> PolicyInC:
    """What packages are made from.

    Raises:
        ValueError: the name is not one of ours.
    """
    if not _SAFE.fullmatch(name):
        raise ValueError(f"no name of ours: {name!r}")
    inputs = tuple(Argument(_own(part.storage.name), c_type(part), part.storage.size) for part in program.inputs)
    action = Argument("action", C_TYPES[program.action.kind], program.action.size)
    return PolicyInC(name, source, inputs, action, contract)
