"""How methods are named and drawn: one colour, one shape and one dash for each, everywhere."""

from __future__ import annotations

from policypress.report.drawing.looks import Look, Palette

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
PALETTE = Palette(_LOOKS)
look, ordered = PALETTE.look, PALETTE.ordered
QUANTIZATION = ("ptdq", "ptsq", "qat")
NORMS = ("l1", "l2")


def is_of_the_paper(method: str) -> bool:
    """Whether the tables of the paper have a place for ``method``."""
    return method in _LOOKS


def labelled(method: str, ratio: float | None) -> str:
    """A method, with the share of channels that it removes.

    >>> labelled("l2", 0.1), labelled("ptdq", None)
    ('L2 pruning, 10 %', 'PTDQ')
    """
    return look(method).label + ("" if ratio is None else f", {100 * ratio:.0f} %")
