"""Where the library's logs go."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from policypress_runtime.errors import MissingDependencyError
from policypress_train.logs import logger_for


def test_silent_without_a_folder() -> None:
    assert logger_for(None).output_formats == []


def test_events_in_the_folder(tmp_path: Path) -> None:
    logger = logger_for(tmp_path)
    logger.record("a/b", 1.0)
    logger.dump(3)
    logger.close()
    assert any(path.name.startswith("events.out") for path in tmp_path.iterdir())


def test_without_tensorboard_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"policypress-train\[tensorboard\]"):
        logger_for(tmp_path)
