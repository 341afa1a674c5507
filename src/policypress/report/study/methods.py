"""How methods are named and drawn: one colour, one shape and one dash for each, everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """How a method appears.

    Attributes:
        label: for people.
        token: name of its colour on the page (a CSS variable).
        light: colour on a light ground.
        dark: colour on a dark ground.
        shape: of its points, as Vega calls it, so that nobody depends on colour.
        dash: of its lines; empty for a solid one.
    """

    label: str
    token: str
    light: str
    dark: str
    shape: str
    dash: tuple[int, ...] = ()


_LOOKS = {
    "baseline": Look("baseline (fp32)", "m-baseline", "#3d434b", "#c4cad2", "diamond"),
    "ptdq": Look("PTDQ", "m-ptdq", "#0072b2", "#56b4e9", "circle"),
    "ptsq": Look("PTSQ", "m-ptsq", "#d55e00", "#f0914a", "square"),
    "qat": Look("QAT", "m-qat", "#00805d", "#2fc99b", "triangle-up"),
    "l1": Look("L1 pruning", "m-l1", "#9a6a00", "#e3b341", "circle"),
    "l2": Look("L2 pruning", "m-l2", "#a8407f", "#e89ccb", "square", (5, 3)),
    "sparse-l1": Look("sparse training, L1", "m-l1", "#9a6a00", "#e3b341", "triangle-up", (2, 3)),
    "sparse-l2": Look("sparse training, L2", "m-l2", "#a8407f", "#e89ccb", "triangle-down", (7, 2, 2, 2)),
}
_OWN = ("m-own", "#5b6470", "#a3acb8", "cross", (1, 2))
QUANTIZATION = ("ptdq", "ptsq", "qat")
NORMS = ("l1", "l2")
_ALGORITHMS = {"trpo", "ppo", "ddpg", "td3", "sac", "dqn", "a2c", "tqc", "ars"}


def look(method: str) -> Look:
    """How ``method`` appears; what is none of the paper's goes by its own name, in one colour for all of them."""
    token, light, dark, shape, dash = _OWN
    return _LOOKS.get(method) or Look(method, token, light, dark, shape, dash)


def is_of_the_paper(method: str) -> bool:
    """Whether the tables of the paper have a place for ``method``."""
    return method in _LOOKS


def tokens() -> dict[str, tuple[str, str]]:
    """Name of each method's colour → that colour on a light and on a dark ground."""
    found = {style.token: (style.light, style.dark) for style in _LOOKS.values()}
    return {**found, _OWN[0]: (_OWN[1], _OWN[2])}


def ordered(methods: Iterable[str]) -> tuple[str, ...]:
    """Each method once, the paper's first and in its order."""
    there = set(methods)
    return (*(name for name in _LOOKS if name in there), *sorted(there - set(_LOOKS)))


def labelled(method: str, ratio: float | None) -> str:
    """A method, with the share of channels that it removes.

    >>> labelled("l2", 0.1), labelled("ptdq", None)
    ('L2 pruning, 10 %', 'PTDQ')
    """
    return look(method).label + ("" if ratio is None else f", {100 * ratio:.0f} %")


def algorithm_name(algorithm: str) -> str:
    """An algorithm as the field writes it (``PPO``)."""
    return algorithm.upper() if algorithm.lower() in _ALGORITHMS else algorithm


def listed(words: Sequence[str]) -> str:
    """Words as an enumeration.

    >>> listed(["PTDQ", "PTSQ", "QAT"]), listed(["L1"])
    ('PTDQ, PTSQ and QAT', 'L1')
    """
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)
