"""The cache: whole files or none, whatever happens to its folder."""

from __future__ import annotations

import os
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policypress_runtime.toolchain.cache import Cache, default_folder
from policypress_runtime.toolchain.child_python import python_command, python_environment

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
    folder = tmp_path / "cache"
    stored(Cache(folder), tmp_path)
    folder.chmod(mode)
    cache = Cache(folder)
    assert cache.find(KEY) is None
    assert cache.refusal(KEY) is None
    is_elsewhere(cache, folder, tmp_path, "others can write")
    assert len(list(folder.iterdir())) == 1


def is_elsewhere(cache: Cache, wanted: Path, work: Path, why: str) -> None:
    """What is stored is found, in a private temporary folder, and the user is told."""
    key = os.urandom(16).hex()
    path = stored(cache, work, key)
    assert cache.find(key) == path
    assert wanted not in path.parents
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert cache.notice is not None
    assert why in cache.notice
    assert "XDG_CACHE_HOME" in cache.notice


def test_the_advice_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    cache = Cache()
    assert stored(cache, tmp_path).parent == tmp_path / "own" / "policypress" / "native"
    assert cache.notice is None


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    is_elsewhere(Cache(tmp_path / "file" / "cache"), tmp_path / "file", tmp_path, str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == ""


def test_a_full_disk_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    is_elsewhere(Cache(tmp_path / "cache"), tmp_path / "cache", tmp_path, "No space left")
    assert not list((tmp_path / "cache").rglob("*.so"))


def test_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert default_folder() is None
    is_elsewhere(Cache(), tmp_path / "none", tmp_path, "no home folder")


def test_children_use_the_same_temporary_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    wanted = tmp_path / "file" / "cache"
    cache = Cache(wanted)
    path = stored(cache, tmp_path)
    program = (
        "from pathlib import Path\nfrom policypress_runtime.toolchain.cache import Cache\n"
        "cache = Cache(Path(sys.argv[1]))\ncache.prepare()\nprint(cache.find(sys.argv[2]))\n"
    )
    done = subprocess.run(
        python_command(program, [str(wanted), KEY]), capture_output=True, text=True, env=python_environment()
    )
    assert (done.stderr, done.stdout.strip()) == ("", str(path))
    assert path.exists()


def test_a_link_or_a_file_that_others_can_write_is_not_found(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    path = stored(cache, tmp_path)
    path.chmod(0o777)
    assert cache.find(KEY) is None
    path = stored(cache, tmp_path)
    path.rename(tmp_path / "elsewhere.so")
    path.symlink_to(tmp_path / "elsewhere.so")
    assert cache.find(KEY) is None


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
