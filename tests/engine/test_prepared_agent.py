"""Prepared agents on disk: the same bytes back, damage noticed, nothing outside the folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policypress.compression.pipeline import CalibrationData
from policypress.engine.tasks.prepared_agent import (
    CALIBRATION_FILE,
    PreparedAgent,
    intact,
    pack,
    place_of,
    publish,
    remove_partial,
    unpack,
)
from policypress_runtime.errors import ExecutionError, StudyInputError

IDENTITY = "ab" * 32


def _materials(keys: tuple[str, ...]) -> CalibrationData:
    rng = np.random.default_rng(0)

    def batch(rows: int) -> np.ndarray | dict[str, np.ndarray]:  # type: ignore[type-arg]
        arrays = {key: rng.normal(size=(rows, 3)).astype(np.float32) for key in keys}
        return arrays if keys != ("",) else arrays[""]

    return CalibrationData(batch(5), batch(4), batch(3))


@pytest.mark.parametrize("keys", [("",), ("image", "vector/with slash")])
def test_observations_come_back(tmp_path: Path, keys: tuple[str, ...]) -> None:
    materials = _materials(keys)
    path = tmp_path / CALIBRATION_FILE
    path.write_bytes(pack(materials))
    read = unpack(path)
    for part in ("calibration", "held_out", "parity"):
        np.testing.assert_equal(getattr(read, part), getattr(materials, part))
    assert pack(materials) == pack(read)


@pytest.mark.parametrize("content", [b"", b"no zip", pack(_materials(("",)))[:-40], None])
def test_damaged_observations_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / CALIBRATION_FILE
    if content is None:  # a lying header
        np.savez(path, **{"calibration:/": np.array([object()], dtype=object)})
    else:
        path.write_bytes(content)
    with pytest.raises(StudyInputError, match="cannot be read"):
        unpack(path)


def test_files_are_recognised_again(tmp_path: Path) -> None:
    digests = publish(tmp_path, IDENTITY, PreparedAgent({"agent.zip": b"policy", "agent/config.yml": b"a: 1"}))
    assert intact(tmp_path, digests)
    (place_of(tmp_path, IDENTITY) / "agent" / "config.yml").write_bytes(b"a: 2")
    assert not intact(tmp_path, digests)
    (place_of(tmp_path, IDENTITY) / "agent.zip").unlink()
    assert not intact(tmp_path, digests)


@pytest.mark.parametrize("name", ["../x", "/x", "a/b/c", "a/../../x"])
def test_no_file_leaves_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExecutionError, match="invalid path"):
        publish(tmp_path, IDENTITY, PreparedAgent({name: b""}))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_half_written_files_go(tmp_path: Path) -> None:
    publish(tmp_path, IDENTITY, PreparedAgent({"agent.zip": b"policy"}))
    half = place_of(tmp_path, IDENTITY) / ".agent.zip.x.partial"
    half.write_bytes(b"pol")
    remove_partial(tmp_path)
    assert [path.name for path in place_of(tmp_path, IDENTITY).iterdir()] == ["agent.zip"]
