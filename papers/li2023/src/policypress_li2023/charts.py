"""Figures 5 and 6, and the same for what the paper announces: the reward trend with and without QAT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import altair
import vl_convert

from policypress.report.axes import chart_of
from policypress.report.figures import DARK, LIGHT
from policypress_li2023.comparing import FEWEST
from policypress_li2023.paper import CAP, FIGURES
from policypress_li2023.results import TaskSummary
from policypress_li2023.trainings import FORMS, Form
from policypress_li2023.trends import Trend
from policypress_runtime.foreign_text import plain_data

_WIDTH, _HEIGHT = 400, 230
_SCALE = 2.0
_COLOURS: Mapping[Form, str] = {"fp32": "#0072b2", "qat": "#009e73"}
_MOST_POINTS = 250


@dataclass(frozen=True)
class Chart:
    """One figure: two panels, as in the paper.

    Attributes:
        name: of its files, fit for an anchor.
        title: what it shows, and which figure of the paper it repeats.
        meaning: how it is read.
        spec: Vega-Lite.
    """

    name: str
    title: str
    meaning: str
    spec: dict[str, Any]

    def svg(self, *, dark: bool = False) -> str:
        """The figure as SVG."""
        # No base URL is allowed: a chart that would load anything fails.
        config = DARK if dark else LIGHT
        titled = {**config, "title": {"color": config["text"]["color"], "fontSize": 13}}
        return str(vl_convert.vegalite_to_svg(plain_data(self.spec), config=titled, allowed_base_urls=[]))

    def png(self) -> bytes:
        """The figure as PNG, two pixels to a unit, on white."""
        return bytes(vl_convert.svg_to_png(self.svg(), scale=_SCALE))


def form_name(algorithm: str, form: Form) -> str:
    """How a form is called.

    >>> form_name("dqn", "qat")
    'DQN with QAT'
    """
    return algorithm.upper() + ("" if form == "fp32" else " with QAT")


def reward_trend(task: TaskSummary) -> Chart | None:
    """The reward trend of ``task``, or None where nothing is trained yet."""
    trends = {form: task.forms[form].trend for form in FORMS}
    known = {form: found for form, found in trends.items() if found is not None}
    if not known:
        return None
    domain = _domain(known)
    panels = [_panel(task, form, found, domain) for form, found in known.items()]
    whole = altair.hconcat(*panels, spacing=34).properties(
        usermeta={"described": f"reward trend of {task.environment}"}, padding=8
    )
    window = next(iter(known.values())).window
    figure = FIGURES.get(task.environment) if task.algorithm == "dqn" else None
    seeds = ", ".join(f"{form_name(task.algorithm, form)}: {found.seeds}" for form, found in known.items())
    few = any(found.seeds < FEWEST for found in known.values())
    band = "fewer than three seeds have no interval" if few else "with its 95 % interval over seeds (Student's t)"
    return Chart(
        f"trend-{task.algorithm}-{task.environment.lower()}",
        f"{task.environment}: reward trend" + (f" (the paper's {figure[0].lower() + figure[1:]})" if figure else ""),
        f"Returns of training episodes, with the actions that explored. Faint: the mean over seeds of each episode; "
        f"strong: the moving average of {window} episodes, {band}. Training seeds: {seeds}.",
        whole.to_dict(),
    )


def _domain(trends: Mapping[Form, Trend]) -> list[float]:
    low = min(min(*found.mean, *found.lower) for found in trends.values())
    high = max(max(*found.mean, *found.upper) for found in trends.values())
    room = 0.04 * (high - low or 1.0)
    return [low - room, high + room]


def _panel(task: TaskSummary, form: Form, found: Trend, domain: list[float]) -> Any:
    step = -(-len(found.mean) // _MOST_POINTS)
    rows = [
        {
            "episode": index + 1,
            "mean": found.mean[index],
            "smooth": found.smooth[index],
            "lower": found.lower[index],
            "upper": found.upper[index],
        }
        for index in range(0, len(found.mean), step)
    ]
    x = altair.X("episode:Q", title="episode", scale=altair.Scale(nice=False))
    scale = altair.Scale(domain=domain, nice=False)
    colour = _COLOURS[form]
    chart = chart_of(rows).encode(x=x)
    layers = [
        chart.mark_line(strokeWidth=1, opacity=0.38, color=colour).encode(y=altair.Y("mean:Q", scale=scale)),
        chart.mark_area(opacity=0.22, color=colour).encode(
            y=altair.Y("lower:Q", scale=scale, title="return"), y2="upper:Q"
        ),
        chart.mark_line(strokeWidth=2.2, color=colour).encode(y=altair.Y("smooth:Q", scale=scale)),
    ]
    if task.environment == "CartPole":
        layers.insert(0, chart_of([{"cap": CAP}]).mark_rule(style="threshold").encode(y=altair.Y("cap:Q", scale=scale)))
    letter = "AB"[FORMS.index(form)]
    title = f"({letter}) {form_name(task.algorithm, form)}"
    return altair.layer(*layers).properties(width=_WIDTH, height=_HEIGHT, title=title)
