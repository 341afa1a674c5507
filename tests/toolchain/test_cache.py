"""The cache: whole files or none, whatever happens to its folder."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policypress.errors import NativeBuildError
from policypress.toolchain.cache import Cache, default_folder

KEY, OTHER = "a" * 32, "b" * 32


def stored(cache: Cache, folder: Path, key: str = KEY, content: bytes = b"module") -> Path:
    built = folder / "built"
    built.write_bytes(content)
    return cache.store(key, built)


def test_what_was_stored_is_found(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "deep" / "cache")
    assert cache.find(KEY) is None
    path = stored(cache, tmp_path)
    assert cache.find(KEY) == path
    assert path.read_bytes() == b"module"
    assert cache.find(OTHER) is None
    assert cache.size_bytes() == 6
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=st.binary(max_size=12))
def test_a_damaged_file_is_not_found_and_goes(damage: bytes, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    path = stored(cache, tmp_path)
    path.write_bytes(damage)
    assert cache.find(KEY) == (path if damage == b"module" else None)
    assert path.exists() == (damage == b"module")
    assert cache.find(KEY) == cache.find(KEY)
    assert cache.find(stored(cache, tmp_path).name[:32]) is not None


def test_a_file_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    path = stored(cache, tmp_path)
    path.unlink()
    path.mkdir()
    assert cache.find(KEY) is None


def test_refusals_are_remembered(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    assert cache.refusal(KEY) is None
    cache.refuse(KEY, "operator Foo, node bär")
    assert cache.refusal(KEY) == "operator Foo, node bär"
    assert cache.refusal(OTHER) is None
    (cache.folder / f"{KEY}.refused").write_bytes(b"\xff\xfe")
    assert cache.refusal(KEY) is None


def test_the_least_recently_used_go(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", limit_bytes=30)
    keys = [f"{i:032d}" for i in range(4)]
    paths = [stored(cache, tmp_path, key, b"0123456789") for key in keys[:3]]
    for age, path in zip((300, 200, 100), paths, strict=True):
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    assert cache.find(keys[0]) == paths[0]  # now it is the youngest
    newest = stored(cache, tmp_path, keys[3], b"0123456789")
    assert cache.size_bytes() == 30
    assert [cache.find(key) for key in keys] == [paths[0], None, paths[2], newest]


def test_one_file_larger_than_the_limit_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", limit_bytes=1)
    path = stored(cache, tmp_path)
    assert cache.find(KEY) == path


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_can_write_is_not_used(mode: int, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    stored(cache, tmp_path)
    cache.folder.chmod(mode)
    assert cache.find(KEY) is None
    assert cache.refusal(KEY) is None
    with pytest.raises(NativeBuildError, match="not safe"):
        stored(cache, tmp_path)
    assert len(list(cache.folder.iterdir())) == 1


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NativeBuildError, match="cannot be kept"):
        stored(Cache(tmp_path / "file" / "cache"), tmp_path)


def test_many_at_once(tmp_path: Path) -> None:
    """Everybody who stores or looks meanwhile finds a whole file, and nothing partial is left."""
    cache = Cache(tmp_path / "cache")
    content = bytes(range(256)) * 400

    def one(number: int) -> bytes:
        folder = tmp_path / str(number)
        folder.mkdir()
        stored(cache, folder, KEY, content)
        found = cache.find(KEY)
        assert found is not None
        return found.read_bytes()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(one, range(32))) == {content}
    assert [path.name[:33] for path in cache.folder.iterdir()] == [f"{KEY}-"]


def test_the_user_s_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "policypress" / "native"
    for relative in ("", "cache"):
        monkeypatch.setenv("XDG_CACHE_HOME", relative)
        assert default_folder() == Path.home() / ".cache" / "policypress" / "native"
