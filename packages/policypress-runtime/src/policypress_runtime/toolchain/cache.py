"""Built extension modules, kept between processes: found by what they were made from, checked by what they hold.

A file is named ``KEY-DIGEST.so``: ``KEY`` is the hash of everything that decides what is built, ``DIGEST`` that of the
file itself. A file whose bytes are not those of its name is removed and built again. Files appear by renaming, so
several processes may build the same one at once. What an artifact cannot be built from is remembered as
``KEY.refused``. The least recently used files go when the folder grows beyond its limit.

What lies in the folder is executed, so only one that nobody else can change is used (:mod:`.own_folder`). Where there
is none, what is built lies in a private temporary folder, for this process and those that it starts.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from policypress_runtime.errors import NativeBuildError
from policypress_runtime.toolchain.child_python import INHERITED
from policypress_runtime.toolchain.own_folder import UnsafeFolderError, by_handle, is_own_file, open_own_folder

LIMIT_BYTES = 512 * 1024 * 1024
_SUFFIX, _REFUSED, _PARTIAL = ".so", ".refused", ".partial"
_DIGEST = 32
_CHUNK = 1 << 20
_TEMPORARY = "POLICYPRESS_TEMPORARY_CACHE"
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def default_folder() -> Path | None:
    """``policypress/native`` in ``XDG_CACHE_HOME``, or in ``~/.cache``; None where the user has no home."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(named):
        return Path(named) / "policypress" / "native"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ".cache" / "policypress" / "native" if home.is_absolute() else None


class Cache:
    """The cache in one folder.

    ``folder`` is what is used, and ``notice`` tells the user if that is not the requested one.

    Args:
        folder: by default the user's (:func:`default_folder`). Is made when something is stored.
        limit_bytes: how large it may grow.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int = LIMIT_BYTES) -> None:
        wanted = default_folder() if folder is None else folder
        self.limit_bytes = limit_bytes
        self.notice: str | None = None
        self._is_temporary = False
        self.folder = wanted or Path(os.devnull)
        if wanted is None:
            self._go_elsewhere("there is no home folder")

    def find(self, key: str) -> Path | None:
        """The module stored under ``key``; None if there is none that is whole."""
        with self._opened(make=False) as handle:
            if handle is None:
                return None
            for name in sorted(os.listdir(handle)):
                if not (name.startswith(f"{key}-") and name.endswith(_SUFFIX)):
                    continue
                with contextlib.suppress(OSError):  # another process removed it, or it cannot be read
                    content = _content(handle, name)
                    if content is not None and name == _name(key, content):
                        os.utime(name, dir_fd=handle)
                        return self.folder / name
                    os.unlink(name, dir_fd=handle)
        return None

    def refusal(self, key: str) -> str | None:
        """Why nothing can be built for ``key``; None where that is not known."""
        with self._opened(make=False) as handle:
            if handle is None:
                return None
            try:
                content = _content(handle, f"{key}{_REFUSED}")
                return None if content is None else content.decode()
            except (OSError, ValueError):
                return None

    def store(self, key: str, built: Path) -> Path:
        """Move the file ``built`` into the cache, and give its new path.

        Raises:
            NativeBuildError: there is no room, not even in a temporary folder.
        """
        content = built.read_bytes()
        name = _name(key, content)
        self._write(name, content)
        self._trim(name)
        return self.folder / name

    def refuse(self, key: str, reason: str) -> None:
        """Remember why nothing can be built for ``key``.

        Raises:
            NativeBuildError: there is no room, not even in a temporary folder.
        """
        self._write(f"{key}{_REFUSED}", reason.encode())

    def size_bytes(self) -> int:
        """Bytes of all files in it."""
        with self._opened(make=False) as handle:
            return 0 if handle is None else sum(size for _, size, _ in _entries(handle))

    def prepare(self) -> None:
        """Make the folder if it is not there, or take another where it cannot be used; :attr:`notice` says so.

        Raises:
            NativeBuildError: no temporary folder can be made either.
        """
        with self._opened(make=True):
            pass

    def _trusted(self) -> bool:
        """Whether the folder exists and only the user can have written to it."""
        with self._opened(make=False) as handle:
            return handle is not None

    @contextmanager
    def _opened(self, *, make: bool) -> Iterator[int | None]:
        """A handle on the folder that is used; None where it is not there yet."""
        handle = self._handle(make)
        try:
            yield handle
        finally:
            if handle is not None:
                os.close(handle)

    def _handle(self, make: bool) -> int | None:
        try:
            return self._checked(make)
        except FileNotFoundError:
            if not make:
                return None
            self._go_elsewhere(f"{self.folder} cannot be made")
        except UnsafeFolderError as error:
            self._go_elsewhere(str(error))
        except OSError as error:
            self._go_elsewhere(f"{self.folder}: {error.strerror or error}")
        return self._checked(make=False)

    def _checked(self, make: bool) -> int:
        if not by_handle():
            if make:
                self.folder.mkdir(parents=True, exist_ok=True)
            return os.open(self.folder, os.O_RDONLY)
        if self._is_temporary:
            return _private(self.folder)
        handle = open_own_folder(self.folder, make=make)
        if make and not os.access(self.folder, os.W_OK | os.X_OK):
            os.close(handle)
            raise PermissionError(0, "not writable")
        return handle

    def _go_elsewhere(self, why: str) -> None:
        self.folder, self._is_temporary = Path(_temporary()), True
        self.notice = (
            f"Built modules are cached for this run only: {why}. "
            "To keep them, set XDG_CACHE_HOME to your own folder that nobody else can write to."
        )

    def _write(self, name: str, content: bytes) -> None:
        try:
            self._write_here(name, content)
        except OSError as error:
            why = f"{self.folder}: {error.strerror or error}"
            if self._is_temporary:
                raise _unwritable(self.folder / name, why) from error
            self._go_elsewhere(why)
            self._write(name, content)

    def _write_here(self, name: str, content: bytes) -> None:
        partial = f".{name}.{os.getpid()}.{os.urandom(4).hex()}{_PARTIAL}"
        with self._opened(make=True) as handle:
            try:
                with os.fdopen(os.open(partial, _NEW, 0o700, dir_fd=handle), "wb") as file:
                    file.write(content)
                os.rename(partial, name, src_dir_fd=handle, dst_dir_fd=handle)
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(partial, dir_fd=handle)

    def _trim(self, kept: str) -> None:
        with self._opened(make=False) as handle:
            entries = [] if handle is None else sorted(_entries(handle))
            total = sum(size for _, size, _ in entries)
            for _, size, name in entries:
                if total <= self.limit_bytes:
                    return
                if name != kept:
                    with contextlib.suppress(OSError):
                        os.unlink(name, dir_fd=handle)
                        total -= size


@functools.cache
def temporary_folder() -> str:
    """A private folder of this process, for what it and those that it starts build; removed at the end.

    Raises:
        NativeBuildError: none can be made.
    """
    try:
        folder = tempfile.mkdtemp(prefix="policypress-")
    except OSError as error:
        raise _unwritable(Path(tempfile.gettempdir()), error.strerror or str(error)) from error
    owner = os.getpid()
    INHERITED[_TEMPORARY] = folder
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    return folder


def _temporary() -> str:
    """The temporary folder of the process that started this one, or of this one."""
    named = os.environ.get(_TEMPORARY, "")
    try:
        os.close(_private(Path(named)))
    except (OSError, UnsafeFolderError):
        return temporary_folder()
    return named


def _private(folder: Path) -> int:
    """A handle on a temporary folder, which is this user's alone."""
    handle = os.open(folder, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    known = os.fstat(handle)
    if known.st_uid != os.geteuid() or known.st_mode & 0o077:
        os.close(handle)
        raise UnsafeFolderError(f"{folder} is not private")
    return handle


def _entries(handle: int) -> list[tuple[float, int, str]]:
    """Last use, bytes and name of every file."""
    found = []
    for name in os.listdir(handle):
        with contextlib.suppress(OSError):
            known = os.stat(name, dir_fd=handle, follow_symlinks=False)
            found.append((known.st_mtime, known.st_size, name))
    return found


def _name(key: str, content: bytes) -> str:
    return f"{key}-{hashlib.sha256(content).hexdigest()[:_DIGEST]}{_SUFFIX}"


def _content(handle: int, name: str) -> bytes | None:
    """Of a regular file of the user's; None for anything else."""
    file = os.open(name, _READ, dir_fd=handle)
    try:
        known = os.fstat(file)
        if by_handle() and not is_own_file(known):
            return None
        return b"".join(iter(lambda: os.read(file, _CHUNK), b""))
    finally:
        os.close(file)


def _unwritable(path: Path, why: str) -> NativeBuildError:
    return NativeBuildError(
        "A built module cannot be cached.",
        got=f"{path}: {why}",
        hint="Free some space, or set XDG_CACHE_HOME to a folder that can be written.",
    )
