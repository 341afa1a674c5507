"""The targets of ``policypress export --target``. One file for each family; a new one is a file and a line here."""

from __future__ import annotations

from policypress_runtime.codegen.targets import aarch64, avr, cortex_m, esp, freestanding, host, riscv32
from policypress_runtime.codegen.targets.target import Target as Target
from policypress_runtime.errors import InputError

_FAMILIES = (host, aarch64, cortex_m, esp, avr, riscv32, freestanding)
TARGETS: dict[str, Target] = {target.name: target for family in _FAMILIES for target in family.TARGETS}


def target_of(name: str) -> Target:
    """The target called ``name``.

    Raises:
        InputError: there is none.
    """
    if name not in TARGETS:
        raise InputError("There is no such target.", got=name, expected=", ".join(TARGETS))
    return TARGETS[name]
