"""Kinds of report on a study: which there are, and the function that writes one. A plug-in adds its own.

A kind of report is an entry point of the group :data:`GROUP`; the package's own are entered in the same way. A study
file names it (``report: NAME``); nothing else decides how a study is reported. An entry point's object is a
:class:`ReportWriter`; it is imported when a report is written, and not to check a study file.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol

from policypress.engine.store.reader import StoreReader
from policypress.study.spec_header import DEFAULT_REPORT, SpecHeader
from policypress_runtime.errors import StudyInputError

GROUP = "policypress.reports"
_OWN = "policypress"
_OTHER_NAME = "Name one of these in the study file, or install the package that has the report."
_INSTALL_AGAIN = "Run `make install` again in the checkout: it was installed before this report."


class ReportWriter(Protocol):
    """What an entry point of the group names."""

    def __call__(self, store: StoreReader, study: SpecHeader, folder: Path) -> Sequence[Path]:
        """Write the report of a study into ``folder``, each file whole or not at all.

        Args:
            store: the study's results; the study may be unfinished, and a driver may be at work.
            study: what the study file says; ``study.data`` has all of it.
            folder: of the report; it may hold an earlier one, and may not be there yet.

        Returns:
            The files, of which the first is the one to open.
        """


def report_names() -> tuple[str, ...]:
    """Names of all kinds of report that are installed, in alphabetical order."""
    return tuple(sorted(_found()))


def check_report(name: str) -> None:
    """Refuse a name that no installed report has.

    Raises:
        StudyInputError: there is no such report; the error lists those there are.
    """
    _entry(name)


def report_writer(name: str) -> ReportWriter:
    """The function that writes reports of the kind ``name``.

    Raises:
        StudyInputError: there is no such report, or the package that has it is broken.
    """
    entry = _entry(name)
    try:
        writer = entry.load()
    except (ImportError, AttributeError) as error:
        raise _broken(entry, f"{type(error).__name__}: {' '.join(str(error).split())}") from error
    if not callable(writer):
        raise _broken(entry, f"it is no function but of the type {type(writer).__name__}")
    found: ReportWriter = writer
    return found


def _found() -> dict[str, EntryPoint]:
    """Name → entry point. Of a name that several distributions have, the package's own counts, else the first's."""
    entries = sorted(entry_points(group=GROUP), key=lambda entry: (_package(entry) != _OWN, _package(entry)))
    return {entry.name: entry for entry in reversed(entries)}


def _package(entry: EntryPoint) -> str:
    return "" if entry.dist is None else entry.dist.name


def _entry(name: str) -> EntryPoint:
    found = _found()
    if name in found:
        return found[name]
    raise StudyInputError(
        "There is no such report.",
        got=f"report: {name}",
        expected=", ".join(sorted(found)) or "one that is installed; none is",
        hint=_OTHER_NAME if DEFAULT_REPORT in found else _INSTALL_AGAIN,
    )


def _broken(entry: EntryPoint, why: str) -> StudyInputError:
    package = _package(entry) or "the package that has it"
    return StudyInputError(
        "A report that is installed cannot be loaded.",
        got=f"report {entry.name} of {package}: {entry.value}: {why}",
        expected="a function of a module that can be imported",
        hint=f"Install {package} again, or name another report in the study file: "
        + ", ".join(name for name in report_names() if name != entry.name),
    )
