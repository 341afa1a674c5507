"""Files of episodes: what can be read, and what every wrong one is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policypress.measurement.certificate import episode_files
from policypress.measurement.certificate.episode_files import Episodes, read_episodes
from policypress_runtime.errors import EpisodeFileError


def written(folder: Path, text: str | bytes, name: str = "episodes.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "return,seed\n1.5,3\n-2,4\n",
        "seed;return\n3;1.5\n4;-2\n",
        "\ufeffSEED\tEpisode_Return\n3\t1.5\n\n4\t-2\n",
        "# a robot's log\r\nseed, r\r\n3, 1.5\r\n4, -2e0\r\n",
    ],
)
def test_tables_of_several_kinds(tmp_path: Path, text: str) -> None:
    found = read_episodes(written(tmp_path, text))
    assert found.returns == (1.5, -2.0)
    assert found.seeds == (3, 4)


def test_a_monitor_file_and_a_bare_column_of_numbers(tmp_path: Path) -> None:
    monitor = '#{"t_start": 1.0, "env_id": "CartPole-v1"}\nr,l,t,is_success\n500.0,500,1.2,True\n12.0,12,1.3,False\n'
    found = read_episodes(written(tmp_path, monitor, "0.monitor.csv"))
    assert found.returns == (500.0, 12.0)
    assert found.seeds is None
    assert found.flags["is_success"] == (True, False)
    assert read_episodes(written(tmp_path, "1\n2\n3.5\n")).returns == (1.0, 2.0, 3.5)


def test_arrays(tmp_path: Path) -> None:
    path = tmp_path / "episodes.npz"
    np.savez(path, returns=np.array([1.0, 2.0]), seeds=np.array([7, 8]), fell=np.array([False, True]))
    found = read_episodes(path)
    assert (found.returns, found.seeds, found.flags) == ((1.0, 2.0), (7, 8), {"fell": (False, True)})
    np.save(tmp_path / "bare.npy", np.array([3, 4], np.int32))
    assert read_episodes(tmp_path / "bare.npy").returns == (3.0, 4.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no episodes"),
        ("return,seed\n", "holds no episodes"),
        ("return\nnan\n1\n", "not finite"),
        ("return\n1\ninf\n", "not finite"),
        ("return,seed\n1,1\n,2\n", "a return is no number"),
        ("return\nfailed\n", "a return is no number"),
        ("length,seed\n1,1\n", "no column of returns"),
        ("r,score\n1,1\n", "several columns"),
        ("return,seed\n1,1\n2\n", "does not fit the header"),
        ("return,return\n1,1\n", "cannot be read|can be read"),
        ("return,seed\n1,1\n2,1\n", "a seed stands there twice"),
        ("return,seed\n1,0.5\n", "a seed is no whole number"),
        ("return,seed\n1,99999999999999999999999999999\n", "a seed is no whole number"),
        (b"\x00\x01\xff\xfe", "can be read"),
        (b"return\n1\n\x00\n", "can be read"),
        (b"PK\x03\x04 not an archive", "can be read|no column|holds no"),
    ],
)
def test_what_cannot_be_certified_with_is_refused(tmp_path: Path, text: str | bytes, told: str) -> None:
    with pytest.raises(EpisodeFileError, match=told) as caught:
        read_episodes(written(tmp_path, text))
    assert caught.value.exit_code == 2
    assert caught.value.expected


def test_a_missing_file_a_folder_and_a_huge_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EpisodeFileError, match="cannot be read"):
        read_episodes(tmp_path / "nothing.csv")
    with pytest.raises(EpisodeFileError, match="not a regular file"):
        read_episodes(tmp_path)
    monkeypatch.setattr(episode_files, "MAX_BYTES", 20)
    with pytest.raises(EpisodeFileError, match="too large"):
        read_episodes(written(tmp_path, "return\n" + "1\n" * 20))
    np.savez(tmp_path / "large.npz", returns=np.zeros(1000))
    with pytest.raises(EpisodeFileError):
        read_episodes(tmp_path / "large.npz")
    monkeypatch.undo()
    monkeypatch.setattr(episode_files, "MAX_EPISODES", 10)
    with pytest.raises(EpisodeFileError, match="too many episodes"):
        read_episodes(written(tmp_path, "return\n" + "1\n" * 20))


@pytest.mark.parametrize(
    "arrays",
    [
        {"results": np.zeros((3, 5))},
        {"returns": np.zeros((3, 5))},
        {"returns": np.array(["a", "b"])},
        {"returns": np.zeros(3), "seeds": np.zeros(3)},
        {"returns": np.zeros(3), "seeds": np.arange(2)},
        {"returns": np.array([{}], object)},
    ],
)
def test_arrays_that_are_no_episodes(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:  # type: ignore[type-arg]
    path = tmp_path / "episodes.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(EpisodeFileError):
        read_episodes(path)


def test_a_flag_with_a_gap_is_no_flag(tmp_path: Path) -> None:
    assert read_episodes(written(tmp_path, "return,fell\n1,0\n2,\n")).flags == {}


def test_what_a_file_says_does_not_steer_the_terminal(tmp_path: Path) -> None:
    with pytest.raises(EpisodeFileError) as caught:
        read_episodes(written(tmp_path, "return\n\x1b[31mred\n"))
    assert "\x1b" not in str(caught.value)


def test_episodes_keep_what_belongs_to_them() -> None:
    episodes = Episodes((1.0, 2.0, 3.0), (4, 5, 6), {"fell": (True, False, True)})
    taken = episodes.at([2, 0])
    assert (taken.returns, taken.seeds, taken.flags) == ((3.0, 1.0), (6, 4), {"fell": (True, True)})
