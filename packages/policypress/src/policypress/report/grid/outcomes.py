"""What a study found of each agent with each recipe, as plain data.

An *agent* is one training with all of its seeds (as the study file asks for it), or one policy that was given. Its
baseline is its own fp32 form, and every share is of that baseline, under the same runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from policypress.measurement.statistics import Missing
from policypress.report.results import KEEP
from policypress.report.studies.cost_estimates import Cost
from policypress.report.studies.estimates import Estimate, MaybeEstimate
from policypress.report.studies.runs import Cells
from policypress.report.studies.standing import Learned
from policypress.report.words import Family

Keeping = Literal["keeps", "loses", "too close to tell", "not known", "failed"]


@dataclass(frozen=True)
class Outcome:
    """One recipe on one agent under one runtime.

    Attributes:
        recipe: as it is written (``prune(l1, 0.05)``); ``none`` for the baseline.
        family: kind of compression, as figures group them.
        words: what the recipe does.
        cells: how many of its runs are done.
        returns: mean return.
        retention: share kept of the baseline's score above random actions.
        keeps_90_percent: whether the mean return is at least 90 % of the baseline's (where that is positive), else
            whether 90 % of the score is kept; by the estimates. None where it cannot be asked. Only what does counts
            where a cost is called a saving.
        costs: by quantity, as :func:`~policypress.report.studies.cost_estimates.costs` names them.
        returns_by_seed: training seed → mean return.
        dominated_by: recipes that are no larger and keep no less, and are better in one of them, by the estimates;
            None where it cannot be said.
    """

    recipe: str
    family: Family
    words: str
    cells: Cells
    returns: MaybeEstimate
    retention: MaybeEstimate
    keeps_90_percent: bool | None
    costs: Mapping[str, Cost]
    returns_by_seed: Mapping[int, float] = field(default_factory=dict)
    dominated_by: tuple[str, ...] | None = None

    @property
    def keeping(self) -> Keeping:
        """What the interval says of keeping :data:`~policypress.report.results.KEEP` of the return."""
        if isinstance(self.retention, Missing):
            return "failed" if self.cells.failed and not self.cells.done else "not known"
        if self.retention.lower is None or self.retention.upper is None:
            return "not known"
        if self.retention.lower >= KEEP:
            return "keeps"
        return "loses" if self.retention.upper < KEEP else "too close to tell"

    def cost(self, quantity: str) -> Cost:
        """A cost by its name."""
        return self.costs[quantity]

    def share_of(self, quantity: str) -> float | None:
        """A cost as a share of the baseline's; None where it is not known."""
        relative = self.costs[quantity].relative
        return relative.value if isinstance(relative, Estimate) else None


@dataclass(frozen=True)
class AgentOutcomes:
    """An agent under a runtime.

    Attributes:
        name: unique in the report, fit for an anchor.
        title: unique under a runtime, for people: ``PPO Hopper-v4``, with the label or more where that is needed.
        algorithm: lower case.
        environment_id: with its version.
        runtime: what acted.
        label: of the study file; may be empty.
        trained: how (``plain``, ``qat``, ``sparse``, ``gradual``), or ``given``.
        steps: environment steps of the training; None for an agent that was given.
        seeds: training seeds whose baseline is done.
        cells: how many of all its cells are done, its own preparation included.
        baseline: its fp32 form.
        random: mean return of random actions.
        learned: whether the baseline has learned; if not, shares say nothing and it is left out of what is said of
            several agents.
        outcomes: of the recipes, in the order of the study file.
    """

    name: str
    title: str
    algorithm: str
    environment_id: str
    runtime: str
    label: str
    trained: str
    steps: int | None
    seeds: tuple[int, ...]
    cells: Cells
    baseline: Outcome
    random: MaybeEstimate
    learned: Learned
    outcomes: tuple[Outcome, ...]

    @property
    def counts(self) -> bool:
        """Whether it counts where something is said of several agents."""
        return self.learned.verdict == "learned"

    def outcome(self, recipe: str) -> Outcome | None:
        """That of a recipe, if it is planned."""
        return next((one for one in self.outcomes if one.recipe == recipe), None)
