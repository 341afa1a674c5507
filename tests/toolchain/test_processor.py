"""What the system tells of its processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from policypress_runtime.toolchain import processor
from policypress_runtime.toolchain.processor import features_here


def test_this_processor_is_looked_at_once() -> None:
    assert features_here() is features_here()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("flags\t\t: fpu avx2\n", {"fpu", "avx2"}), ("Features : asimd\n", set()), (None, set())],
)
def test_flags_are_read_as_linux_writes_them(
    text: str | None, expected: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpuinfo"
    if text is not None:
        file.write_text(f"model name : a\n{text}")
    monkeypatch.setattr(processor, "_CPUINFO", file)
    assert features_here.__wrapped__() == expected
