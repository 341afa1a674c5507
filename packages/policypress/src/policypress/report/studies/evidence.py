"""A statement of a paper, judged by the paper's own tables and by a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["holds", "does not hold", "undecided", "no data"]


@dataclass(frozen=True)
class Evidence:
    """What data say of a statement.

    Attributes:
        verdict: of the statement.
        text: one to three sentences with the numbers.
        numbers: the same for programs.
        runtime: of the study's evidence; empty for the paper's own tables.
    """

    verdict: Verdict
    text: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    runtime: str = ""


@dataclass(frozen=True)
class Finding:
    """A statement of the paper, judged by its own tables and by the study.

    Attributes:
        name: unique, fit for an anchor (``ptdq-best``).
        statement: of the paper, in our words.
        section: where the paper makes it.
        paper: what its own tables say.
        contradictions: where they contradict the statement, themselves or each other.
        study: what the study says, one for each runtime.
    """

    name: str
    statement: str
    section: str
    paper: Evidence
    contradictions: tuple[str, ...]
    study: tuple[Evidence, ...]
