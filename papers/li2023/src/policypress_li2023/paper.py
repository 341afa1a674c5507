"""What Li (2023) prints, and what it states.

Source: Q. Li, Quantization aware training for efficient reinforcement learning network (2023), table 2 and section 4.
The paper gives memory without a unit and shows one training of each kind; figures 5 and 6 have no numbers that could be
read to the episode.
"""

from __future__ import annotations

from dataclasses import dataclass

TITLE = "Q. Li, Quantization aware training for efficient reinforcement learning network (2023)"
CAP = 200.0
"""Return of CartPole that the paper calls the expected performance, and caps at."""


@dataclass(frozen=True)
class PrintedMemory:
    """A row of table 2, in a unit that the paper does not name."""

    before: float
    after: float

    @property
    def decrease(self) -> float:
        """Share by which QAT lowers it.

        >>> round(PrintedMemory(1197.0, 1136.0).decrease, 3)
        0.051
        """
        return 1 - self.after / self.before


MEMORY = {"CartPole": PrintedMemory(1197.0, 1136.0), "LunarLander": PrintedMemory(1504.0, 1447.0)}
FIGURES = {"CartPole": "Figure 5", "LunarLander": "Figure 6"}
