from __future__ import annotations

import json
import sys
from importlib.metadata import version

import pytest

from policypress.engine import provenance as module
from policypress.engine.provenance import provenance


def test_versions_are_those_installed() -> None:
    found = provenance()
    assert found["packages"]["numpy"] == version("numpy")
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert json.loads(json.dumps(found)) == found


def test_an_absent_package_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGES", ("numpy", "no-such-package-of-anybody"))
    assert list(provenance()["packages"]) == ["numpy"]
