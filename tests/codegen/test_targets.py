"""The targets of the command line."""

from __future__ import annotations

import pytest

from policypress_runtime.codegen.targets import TARGETS, target_of
from policypress_runtime.errors import InputError


def test_every_target_is_found_by_its_name() -> None:
    for name in TARGETS:
        assert target_of(name).name == name


def test_another_is_refused_with_the_choices() -> None:
    with pytest.raises(InputError, match=r"esp64[\s\S]*cortex-m4"):
        target_of("esp64")
