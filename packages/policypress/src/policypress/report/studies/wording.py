"""Words and numbers of a report on a study."""

from __future__ import annotations

import re
from collections.abc import Sequence

from policypress.report.quantities import si, size

_ALGORITHMS = {"trpo", "ppo", "ddpg", "td3", "sac", "dqn", "a2c", "tqc", "ars"}


def algorithm_name(algorithm: str) -> str:
    """An algorithm as the field writes it (``PPO``)."""
    return algorithm.upper() if algorithm.lower() in _ALGORITHMS else algorithm


def listed(words: Sequence[str]) -> str:
    """Words as an enumeration.

    >>> listed(["PTDQ", "PTSQ", "QAT"]), listed(["L1"])
    ('PTDQ, PTSQ and QAT', 'L1')
    """
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)


def number(value: float) -> str:
    """A return as people read it: ``117,139``, ``74.49``."""
    magnitude = abs(value)
    decimals = 0 if magnitude >= 1000 else 1 if magnitude >= 100 else 2
    return f"{value:,.{decimals}f}".replace("-", "−")


def unit_value(value: float, unit: str) -> str:
    """A cost with its unit, as people read it."""
    if unit == "B":
        return size(value)
    return si(value, unit) if unit else f"{value:,.0f}"


def short_name(environment_id: str) -> str:
    """An environment's id without namespace and version.

    >>> short_name("ALE/Pong-v5")
    'Pong'
    """
    return re.sub(r"-v\d+$", "", environment_id.rsplit("/", 1)[-1])


def short_names(names: Sequence[str], longest: int = 28) -> dict[str, str]:
    """Name → a form of at most about ``longest`` characters, which no other has.

    >>> short_names(["prune(l2, 0.5) > refit > int8", "ptdq"], 20)
    {'prune(l2, 0.5) > refit > int8': 'prune(l2…efit > int8', 'ptdq': 'ptdq'}
    """
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        head, tail = (longest - 3) // 2, longest - 1 - (longest - 3) // 2
        short = name if len(name) <= longest else f"{name[:head]}…{name[-tail:]}"
        found[name] = short if short not in found.values() else f"{short} ({len(found) + 1})"
    return found
