"""Choosing the kernels that models learn by."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from native_updates import needs
from policypress_runtime.errors import NativeBuildError
from policypress_runtime.toolchain.compiler import find_compiler
from policypress_train.native import collecting, learning
from policypress_train.native.compiled import built, load


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """``use("avx2")``: models that are made from now on learn by these kernels."""

    def choose(kernels: str) -> None:
        wanted = needs(kernels)
        try:
            loaded = load(built(find_compiler(headers=False), wanted))
        except NativeBuildError as error:
            pytest.skip(str(error))
        if not loaded.pp_supported():
            pytest.skip(f"the system does not let {kernels} run")
        for module in (learning, collecting):
            monkeypatch.setattr(module, "library", lambda pinned=None: (loaded, kernels))

    return choose
