"""Statistics are found by what is in a file, and nothing large or strange is read for it."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from normalised_agents import normalised_agent

from policypress.agents.normalisers import files as normaliser_files
from policypress.agents.normalisers.files import holds_normaliser, statistics_in


def test_only_statistics_are_found(tmp_path: Path) -> None:
    pickled = normalised_agent().pickled
    (tmp_path / "b").write_bytes(pickled)
    (tmp_path / "a.pkl").write_bytes(pickled)
    (tmp_path / "a.zip").write_bytes(pickled)
    (tmp_path / "buffer.pkl").write_bytes(pickle.dumps({"observations": np.zeros((1000, 3))}))
    (tmp_path / "notes").write_text("VecNormalize is in vecnormalize.pkl")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "vec_normalize").mkdir()
    os.mkfifo(tmp_path / "vecnormalize.pkl")
    found = statistics_in(tmp_path)
    assert [file.path.name for file in found] == ["a.pkl", "b"]
    assert all(file.statistics is not None for file in found)
    assert statistics_in(tmp_path / "absent") == ()


def test_of_a_large_file_only_the_head_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "replay_buffer.pkl").open("wb") as file:
        file.write(pickle.dumps({"observations": np.zeros(1000)}))
        file.truncate(5 * 1024**3)
    assert statistics_in(tmp_path) == ()
    pickled = normalised_agent().pickled
    with (tmp_path / "v.pkl").open("wb") as file:
        file.write(pickled)
        file.truncate(5 * 1024**3)
    (found,) = statistics_in(tmp_path)
    assert found.error is not None
    assert "too large" in str(found.error)


def test_in_a_crowded_folder_names_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normaliser_files, "_MOST_OPENED", 3)
    for name in ("a", "b", "c", "d", "my_vecnorm"):
        (tmp_path / name).write_bytes(normalised_agent().pickled)
    assert [file.path.name for file in statistics_in(tmp_path)] == ["my_vecnorm"]


class RunningNormaliser:
    """A class of somebody's own."""


def test_classes_like_it_count() -> None:
    assert holds_normaliser(pickle.dumps(RunningNormaliser()))
    assert holds_normaliser(pickle.dumps(RunningNormaliser(), 0))
    assert not holds_normaliser(pickle.dumps(np.zeros(3)))
    assert not holds_normaliser(b"")
    assert not holds_normaliser(b"\x80\x04")
