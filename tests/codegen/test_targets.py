"""The targets of the command line."""

from __future__ import annotations

import pytest

from policypress_runtime.codegen.targets import (
    TARGETS,
    aarch64,
    avr,
    cortex_m,
    esp,
    freestanding,
    host,
    riscv32,
    target_of,
)
from policypress_runtime.errors import InputError


def test_every_target_of_a_family_is_found_by_its_name() -> None:
    families = (aarch64, avr, cortex_m, esp, freestanding, host, riscv32)
    found = {target.name: target for family in families for target in family.TARGETS}
    assert found == TARGETS
    assert all(target_of(name) is target for name, target in found.items())


def test_another_is_refused_with_the_choices() -> None:
    with pytest.raises(InputError, match=r"esp64[\s\S]*cortex-m4"):
        target_of("esp64")
