"""Files that hold normalisation statistics, found by what is in them and not by what they are called.

Of each file only the head is looked at (replay buffers have gigabytes); nothing of it is executed.
"""

from __future__ import annotations

import os
import pickletools
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from policypress.agents.archive import read_bytes
from policypress.agents.normalisers.names import says_normaliser
from policypress.agents.normalisers.vecnormalize import Statistics, read_statistics
from policypress_runtime.errors import AgentError

MAX_STATISTICS_BYTES = 256 * 1024**2
_HEAD_BYTES = 64 * 1024
# In a folder with more files than this, only those are opened whose name says what they are.
_MOST_OPENED = 2000
# What holds something else whatever it is called.
_OTHER_KINDS = re.compile(
    r"\.(zip|onnx|ya?ml|json|txt|md|rst|log|csv|tsv|html?|pdf|png|jpe?g|gif|svg|mp4|avi|py|pyc|ipynb|c|h|cpp|hpp|o|so|a"
    r"|dll|xml|toml|ini|cfg|sh|db|parquet|safetensors|data)",
    re.IGNORECASE,
)
_MARKS = (b"VecNormalize", b"RunningMeanStd")
_RECONSTRUCTORS = ("copyreg._reconstructor", "copy_reg._reconstructor")


@dataclass(frozen=True)
class StatisticsFile:
    """A file that holds statistics, or that says it does.

    Args:
        path: where it is.
        statistics: its content; None where it cannot be read as plain data.
        error: why it cannot.
    """

    path: Path
    statistics: Statistics | None
    error: AgentError | None = None


def read_statistics_file(path: Path) -> StatisticsFile:
    """The statistics in the file ``path``, or why they cannot be read."""
    try:
        return StatisticsFile(path, read_statistics(read_bytes(path, limit_bytes=MAX_STATISTICS_BYTES), path.name))
    except AgentError as error:
        return StatisticsFile(path, None, error)


def statistics_in(folder: Path) -> tuple[StatisticsFile, ...]:
    """Every file directly in ``folder`` that holds the statistics of a VecNormalize, or says so, by name."""
    return tuple(read_statistics_file(path) for path in sorted(_likely(folder)))


def _likely(folder: Path) -> Iterator[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    if len(names) > _MOST_OPENED:
        names = [name for name in names if says_normaliser(name)]
    for name in names:
        path = folder / name
        if _OTHER_KINDS.fullmatch(path.suffix) or not _is_plain_file(path):
            continue
        if says_normaliser(name) or holds_normaliser(_head(path)):
            yield path


def _is_plain_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError:
        return b""


def holds_normaliser(head: bytes) -> bool:
    """Whether a file that starts with ``head`` is a pickle of a VecNormalize, of a class like it, or around one."""
    if not (head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")) and head[:1] not in b"c(":
        return False
    return any(mark in head for mark in _MARKS) or says_normaliser(_first_class(head).rpartition(".")[2])


def _first_class(head: bytes) -> str:
    """Dotted name of the class whose object the pickle is; empty where its head does not tell."""
    texts: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(head):
            if opcode.name == "GLOBAL":
                dotted = str(argument).replace(" ", ".")
            elif opcode.name == "STACK_GLOBAL":
                dotted = ".".join(texts[-2:])
            else:
                if isinstance(argument, str):
                    texts.append(argument)
                continue
            if dotted not in _RECONSTRUCTORS:
                return dotted
    # A head ends in the middle of something, and what is no pickle breaks anywhere.
    except Exception:
        return ""
    return ""
