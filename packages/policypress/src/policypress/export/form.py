"""In which form a policy is written, beside what the output's name says."""

from __future__ import annotations

from dataclasses import dataclass

HOST = "host"


@dataclass(frozen=True)
class Form:
    """What is written of a policy.

    Args:
        target: what C is written for; None for this machine, or what the package is for.
        package: the kind of folder that is written around the C; None for a file.
    """

    target: str | None = None
    package: str | None = None


PLAIN = Form()
"""The file that the output's name says, for this machine."""
