"""``docs/images/headline.svg``: return kept against size, from the tables of ``docs/results/``.

    python benchmarks/headline_chart.py            # draw it anew, after the tables changed
    python benchmarks/headline_chart.py --check    # say whether it is what the tables say

Nothing is measured here. One agent, SAC HalfCheetah of the public RL Zoo: the usual int8, the usual pruning, and ours
without training, each over 30 episodes with its 95 % interval (``recipes.md``); and what the search certified
(``searches.md``), down to its lower bound. That was certified by rule 1, which assumed more than today's.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
CHART = DOCS / "images" / "headline.svg"
AGENT = "sac-HalfCheetah-v3"
PLAIN_INT8 = ("ptdq", "ptsq", "int8")
PLAIN_PRUNING = ("prune(l1, 0.3)", "prune(l2, 0.3)", "prune(l2, 0.5)")
OURS = (
    "equalize > int8",
    "equalize > gptq(4)",
    "prune(obs, 0.5) > refit > equalize > int8",
    "prune(obs, 0.5, scope=global) > refit > equalize > gptq(4)",
)
WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 62, 24, 64, 54
LARGEST, MOST = 100.0, 110.0
SUBTITLE = "SAC on HalfCheetah: return kept above random actions; 95 % intervals, most of them within the marks"
CELL = re.compile(r"(-?[\d.]+) % \[(-?[\d.]+), (-?[\d.]+)\] · ([\d.]+) ×")


@dataclass(frozen=True)
class Point:
    """One recipe: times smaller, share of the return kept in percent, and its interval."""

    recipe: str
    smaller: float
    kept: float
    lower: float
    upper: float


def of_recipes(page: str, agent: str) -> dict[str, Point]:
    r"""The column of ``agent`` in the tables of ``recipes.md``.

    >>> table = "| recipe | a | b |\n| `int8` | 1.0 % [0.5, 2.0] · 3.9 × | 50.6 % [49.8, 51.4] · 3.8 × |"
    >>> of_recipes(table, "b")["int8"]
    Point(recipe='int8', smaller=3.8, kept=50.6, lower=49.8, upper=51.4)
    """
    found, column = {}, None
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if cells[:1] == ["recipe"]:
            column = cells.index(agent) if agent in cells else None
        elif cells and column is not None and (match := CELL.fullmatch(cells[column])):
            kept, lower, upper, smaller = map(float, match.groups())
            recipe = cells[0].strip("`")
            found[recipe] = Point(recipe, smaller, kept, lower, upper)
    return found


def certified(page: str, agent: str) -> Point:
    """What the search certified of ``agent``, in the table of ``searches.md``.

    >>> certified("| a | 1 kB | `int8` | 2 kB | 60 × | 97.9 %, 95.3 % | 151 | 0 | 1 min |", "a")
    Point(recipe='int8', smaller=60.0, kept=97.9, lower=95.3, upper=97.9)
    """
    line = next(line for line in page.splitlines() if line.startswith(f"| {agent} |"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    kept, lower = (float(part.strip(" %")) for part in cells[5].split(","))
    return Point(cells[2].strip("`"), float(cells[4].strip(" ×")), kept, lower, kept)


def x_of(smaller: float) -> float:
    """Where a ratio of sizes lies, on a logarithmic axis from 1.6."""
    share = math.log(smaller / 1.6) / math.log(LARGEST / 1.6)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def y_of(kept: float) -> float:
    """Where a share of the return lies, in percent."""
    return HEIGHT - BOTTOM - kept / MOST * (HEIGHT - TOP - BOTTOM)


def draw(groups: dict[str, list[Point]], won: Point) -> str:
    """The chart as SVG, light or dark as the reader's screen is."""
    parts = [_frame()]
    for kind, points in groups.items():
        parts += [_mark(kind, point) for point in points]
    parts.append(_mark("won", won, radius=7))
    parts += _words(won)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _frame() -> str:
    lines = []
    for kept in (0, 25, 50, 75, 100):
        strong = ' class="full"' if kept == 100 else ""
        lines.append(f'<path{strong} d="M{LEFT} {y_of(kept):.1f}H{WIDTH - RIGHT}"/>')
    for smaller in (2, 4, 8, 16, 32, 64):
        lines.append(f'<path d="M{x_of(smaller):.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
    numbers = [
        f'<text class="m" x="{LEFT - 10}" y="{y_of(kept) + 4:.1f}" text-anchor="end">{kept} %</text>'
        for kept in (0, 25, 50, 75, 100)
    ]
    numbers += [
        f'<text class="m" x="{x_of(n):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{n}×</text>'
        for n in (2, 4, 8, 16, 32, 64)
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"
  aria-labelledby="t d">
<title id="t">Return kept against times smaller</title>
<desc id="d">SAC on HalfCheetah. The usual int8 keeps about half of the return, the usual pruning less.</desc>
<style>
  text {{ font: 14px system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif; fill: #1b1f24 }}
  .h {{ font-size: 17px; font-weight: 600 }} .m {{ fill: #5b6470; font-size: 13px }} .b {{ font-weight: 600 }}
  .grid {{ stroke: #e0e3e8; fill: none }} .full {{ stroke: #98a2ae; stroke-dasharray: 4 4 }}
  .int8 {{ --c: #b23b00 }} .pruned {{ --c: #8a6d00 }} .ours {{ --c: #0072b2 }} .won {{ --c: #00704f }}
  g > circle, g > rect, g > .shape {{ fill: var(--c) }} g > .i {{ stroke: var(--c); stroke-width: 2; fill: none }}
  text.int8, text.pruned, text.ours, text.won {{ fill: var(--c) }}
  @media (prefers-color-scheme: dark) {{
    text {{ fill: #e9ecef }} .m {{ fill: #a3acb8 }} .grid {{ stroke: #2d343e }} .full {{ stroke: #78828e }}
    .int8 {{ --c: #ff9e6b }} .pruned {{ --c: #f0cf6b }} .ours {{ --c: #6bbdf0 }} .won {{ --c: #5fd6ad }}
  }}
</style>
<text class="h" x="{LEFT}" y="24">Sixty times smaller, and 98 % of the return is kept</text>
<text class="m" x="{LEFT}" y="45">{SUBTITLE}</text>
<g class="grid">{"".join(lines)}</g>
{"".join(numbers)}
{_text("m", middle, HEIGHT - 10, "times smaller than the fp32 policy (log scale)")}"""


def _text(kind: str, x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _mark(kind: str, point: Point, radius: float = 4.5) -> str:
    """A mark of its own shape for each kind, so that colour is not needed to tell them apart, and the interval."""
    x, y = x_of(point.smaller), y_of(point.kept)
    low, high = y_of(point.lower), y_of(point.upper)
    whisker = f"M{x:.1f} {low:.1f}V{high:.1f}M{x - 6:.1f} {low:.1f}h12"
    whisker += f"M{x - 6:.1f} {high:.1f}h12" if point.upper > point.kept else ""
    shape = {
        "int8": f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>',
        "pruned": f'<path class="shape" d="M{x:.1f} {y - 5.5:.1f}l5.5 9.5h-11z"/>',
    }.get(kind, f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>')
    told = f"{point.recipe}: {point.kept:g} % [{point.lower:g}, {point.upper:g}], {point.smaller:g} times smaller"
    safe = told.replace("&", "&amp;").replace(">", "&gt;")
    return f'<g class="{kind}"><title>{safe}</title><path class="i" d="{whisker}"/>{shape}</g>'


def _words(won: Point) -> list[str]:
    """What the marks are, beside them."""
    at = x_of(won.smaller) - 14  # inside the frame
    return [
        _text("int8 b", x_of(4.3), y_of(53), "the usual int8", "start"),
        _text("pruned b", x_of(4.3), y_of(29), "the usual pruning", "start"),
        _text("ours b", x_of(9.4), y_of(86), "ours, without training"),
        _text("won b", at, y_of(84), "ours, certified"),
        _text("m", at, y_of(84) + 18, f"at least {won.lower:g} % (rule 1)"),
    ]


def chart() -> str:
    """The chart that the tables say."""
    known = of_recipes((DOCS / "results" / "recipes.md").read_text(), AGENT)
    groups = {
        kind: [known[name] for name in names]
        for kind, names in (("int8", PLAIN_INT8), ("pruned", PLAIN_PRUNING), ("ours", OURS))
    }
    return draw(groups, certified((DOCS / "results" / "searches.md").read_text(), AGENT))


def main() -> int:
    """Draw the chart, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    if parser.parse_args().check:
        same = CHART.is_file() and CHART.read_text() == chart()
        print(f"{CHART}: {'as the tables say' if same else 'not what the tables say'}")
        return 0 if same else 1
    CHART.write_text(chart())
    print(CHART)
    return 0


if __name__ == "__main__":
    sys.exit(main())
