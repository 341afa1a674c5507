"""One algorithm in one environment under one runtime: its baseline, its variants and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from policypress.report.studies.cost_estimates import Cost
from policypress.report.studies.estimates import MaybeEstimate
from policypress.report.studies.runs import Cells
from policypress.report.studies.standing import Learned


@dataclass(frozen=True)
class Variant:
    """One recipe on the agents of one combination.

    Attributes:
        recipe: as it is written (``prune(l1, 0.05)``).
        method: ``ptdq``, ``ptsq``, ``qat``, ``l1``, ``l2``, ``sparse-l1``, ``sparse-l2``, or the recipe where it is
            none of the paper's.
        ratio: share of hidden channels that pruning removes; None otherwise.
        cells: how many of its runs are done.
        returns: mean return.
        ratio_to_baseline: mean return over the baseline's mean return (the paper's measure).
        retention: share kept of the baseline's score above random actions.
        keeps_90_percent: the paper's rule on point estimates; None where it cannot be asked.
        published: return in the paper's Table 1; None where the paper gives none.
        costs: by quantity: ``latency`` (median, warm), ``peak_rss``, ``cpu_per_action``, ``energy_per_action``,
            ``energy_per_episode``, ``packed_bytes``, ``file_bytes``, ``parameters``, ``episode_length``.
        returns_by_seed: training seed → mean return of that agent.
        other_training: how its agents learned otherwise than the baseline's (another update, other kernels), so that
            their returns are no statement on the method; empty where they did not, or nothing is recorded.
    """

    recipe: str
    method: str
    ratio: float | None
    cells: Cells
    returns: MaybeEstimate
    ratio_to_baseline: MaybeEstimate
    retention: MaybeEstimate
    keeps_90_percent: bool | None
    published: float | None
    costs: Mapping[str, Cost]
    returns_by_seed: Mapping[int, float] = field(default_factory=dict)
    other_training: str = ""


@dataclass(frozen=True)
class Combination:
    """An algorithm in an environment under a runtime.

    Attributes:
        name: unique in the report, fit for an anchor: ``ppo-HalfCheetah-v4-onnxruntime``.
        algorithm: lower case (``ppo``).
        environment: without its version, as in the paper (``HalfCheetah``).
        environment_id: with it (``HalfCheetah-v4``).
        runtime: ``onnxruntime`` or ``native``.
        steps: environment steps of the training; None for agents that were given.
        seeds: training seeds whose baseline is done.
        cells: how many of all its cells are done, the agents' own included.
        baseline: mean return of the fp32 agents.
        random: mean return of random actions.
        learned: whether the baseline has learned.
        published_baseline: in the paper's Table 1; None where the paper has no such row.
        published_pruning_baseline: in the paper's Table 2, which differs.
        variants: in the order of the paper: quantization, then pruning by norm and ratio, then anything else.
        baseline_costs: as in :class:`Variant`; the relative ones are 1.
        baseline_by_seed: training seed → mean return.
    """

    name: str
    algorithm: str
    environment: str
    environment_id: str
    runtime: str
    steps: int | None
    seeds: tuple[int, ...]
    cells: Cells
    baseline: MaybeEstimate
    random: MaybeEstimate
    learned: Learned
    published_baseline: float | None
    published_pruning_baseline: float | None
    variants: tuple[Variant, ...]
    baseline_costs: Mapping[str, Cost]
    baseline_by_seed: Mapping[int, float] = field(default_factory=dict)

    def variant(self, method: str, ratio: float | None = None) -> Variant | None:
        """The variant of a method (and ratio), if it is planned."""
        return next((v for v in self.variants if v.method == method and v.ratio == ratio), None)

    def of_method(self, method: str) -> tuple[Variant, ...]:
        """The variants of a method, by ratio."""
        return tuple(v for v in self.variants if v.method == method)
