"""Evidence for claims: returns as printed in the paper or measured by the study, and the rules for verdicts.

The same code judges a statement on the paper's tables and on the study, so that what is held against the paper was
done to its own numbers first. Only combinations whose baseline has learned take part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from policypress.measurement.statistics import LU_SHARE
from policypress.report.studies.estimates import Estimate, MaybeEstimate
from policypress.report.studies.evidence import Evidence, Verdict
from policypress_lu2024.cells.combination import Combination, Variant
from policypress_lu2024.findings.exact_tests import share_interval
from policypress_lu2024.paper import METHODS, NORMS, Place, table1, table2, table3
from policypress_lu2024.paper_rows import most_pruned, optimum

PAPER = ""
GENERALLY = 2 / 3
"""Share of combinations in which something has to hold, to hold generally."""
SIGNIFICANT = 0.05
NEAR = 0.10
"""How far from a number of the paper, or from another return in units of the baseline's, still counts as the same."""


@dataclass(frozen=True)
class Span:
    """A number and where it may lie; the paper's have no interval. ``runs`` counts training seeds."""

    value: float
    lower: float
    upper: float
    runs: int

    def above(self, limit: float) -> bool | None:
        """Whether it is at least ``limit``; None where the interval has it on both sides."""
        return True if self.lower >= limit else False if self.upper < limit else None

    def beats(self, other: Span) -> bool | None:
        """Whether it is more than another; None where the intervals overlap."""
        return True if self.lower > other.upper else False if self.upper < other.lower else None


@dataclass(frozen=True)
class View:
    """Returns of one source: the paper's (``runtime`` empty) or the study's under one runtime.

    Attributes:
        returns: place → span of ``baseline`` and the quantizers.
        ratios: place → span of the ratio to the baseline, by quantizer; of the study alone.
        prunable: place → share that each norm can remove by the 90 % rule, 0 where none passes.
        optima: place → norm (``none``, ``both``) and ratio of the best pruning.
        unbroken: place → largest ratio that passes with all smaller ones, by either norm; of the study alone.
        kept: place → span of the ratio to the baseline by (norm, ratio); of the study alone.
        left: number of combinations that are kept out: not measured, or the baseline has not learned.
        combinations: of the study.
        keeping: algorithm, environment and recipe of what keeps 90 % of the return under some runtime.
    """

    runtime: str
    returns: Mapping[Place, Mapping[str, Span]]
    ratios: Mapping[Place, Mapping[str, Span]]
    prunable: Mapping[Place, Mapping[str, float]]
    optima: Mapping[Place, tuple[str, float]]
    kept: Mapping[Place, Mapping[tuple[str, float], Span]]
    left: int = 0
    combinations: tuple[Combination, ...] = field(default=(), repr=False)
    unbroken: Mapping[Place, float] = field(default_factory=dict)
    keeping: frozenset[tuple[str, str, str]] = frozenset()

    @property
    def is_paper(self) -> bool:
        """Whether these are the paper's own numbers."""
        return self.runtime == PAPER

    def quantized(self) -> dict[Place, dict[str, Span]]:
        """Returns of all three quantizers, of the places that have them all."""
        return {
            place: {method: spans[method] for method in METHODS}
            for place, spans in self.returns.items()
            if set(METHODS) <= set(spans)
        }

    def verdict(self, tally: Tally, needed: float) -> Verdict:
        """Whether something is so in the share ``needed`` of what the statement speaks of.

        Of the paper's tables the count decides: they are all that it speaks of. A study's combinations are some of
        many, and the 95 % interval of the share decides.
        """
        return tally.counted(needed) if self.is_paper else tally.verdict(needed)

    def printed_share(self, count: int, total: int, published: float) -> Verdict:
        """Whether a share is the one that the paper prints, to within :data:`NEAR`; as :meth:`verdict` judges."""
        share = count / total
        lower, upper = (share, share) if self.is_paper else share_interval(count, total)
        if published - NEAR <= lower and upper <= published + NEAR:
            return "holds"
        lower, upper = share_interval(count, total)
        return "undecided" if lower <= published <= upper else "does not hold"

    def told(self, tally: Tally, places: str) -> str:
        """Counts in words; a study's with the interval of their share."""
        return tally.told(places) if self.is_paper or not tally.total else f"{tally.told(places)}, {tally.interval()}"

    def says(self, verdict: Verdict, text: str, **numbers: Any) -> Evidence:
        """Evidence of this source; ``left_out`` counts the combinations that are not in it."""
        return Evidence(verdict, text, numbers if self.is_paper else {**numbers, "left_out": self.left}, self.runtime)


@dataclass(frozen=True)
class Tally:
    """In how many places something is so, is not so, or cannot be told."""

    yes: int
    no: int
    unsure: int = 0

    @staticmethod
    def of(answers: Iterable[bool | None]) -> Tally:
        """Count the answers; None cannot be told."""
        found = list(answers)
        return Tally(found.count(True), found.count(False), found.count(None))

    @property
    def total(self) -> int:
        """All places."""
        return self.yes + self.no + self.unsure

    def counted(self, needed: float) -> Verdict:
        """Whether it is so in the share ``needed`` of these very places.

        >>> Tally(2, 0, 1).counted(2 / 3), Tally(1, 0, 2).counted(2 / 3), Tally(1, 2).counted(2 / 3)
        ('holds', 'undecided', 'does not hold')
        """
        if self.total == 0:
            return "no data"
        if self.yes / self.total >= needed:
            return "holds"
        return "does not hold" if (self.yes + self.unsure) / self.total < needed else "undecided"

    def verdict(self, needed: float) -> Verdict:
        """Whether it is so in the share ``needed`` of all places, of which these are some: the interval decides.

        >>> Tally(9, 7).verdict(0.5), Tally(15, 1).verdict(0.5), Tally(1, 15).verdict(0.5)
        ('undecided', 'holds', 'does not hold')
        """
        if self.total == 0:
            return "no data"
        if share_interval(self.yes, self.total)[0] >= needed:
            return "holds"
        return "does not hold" if share_interval(self.yes + self.unsure, self.total)[1] < needed else "undecided"

    def everywhere(self, least: int) -> Verdict:
        """Whether it is so in every one of a few named places, of which ``least`` have to be known.

        >>> Tally(4, 0).everywhere(4), Tally(3, 1).everywhere(4), Tally(3, 0).everywhere(4)
        ('holds', 'does not hold', 'undecided')
        """
        if self.total == 0:
            return "no data"
        if self.total < least:
            return "undecided"
        return "does not hold" if self.no else "undecided" if self.unsure else "holds"

    def interval(self) -> str:
        """Exact 95 % interval of the share, in words; what cannot be told may be either.

        >>> Tally(9, 7).interval()
        '56 % (95 % interval 30 to 80 %)'
        """
        lower, upper = share_interval(self.yes, self.total)[0], share_interval(self.yes + self.unsure, self.total)[1]
        return f"{percent(self.yes / self.total)} (95 % interval {100 * lower:.0f} to {percent(upper)})"

    def told(self, places: str = "") -> str:
        """Counts in words.

        >>> Tally(2, 5, 3).told("combinations")
        '2 of 10 combinations (3 cannot be told apart from chance)'
        """
        unsure = f" ({self.unsure} cannot be told apart from chance)" if self.unsure else ""
        return f"{self.yes} of {self.total}{' ' * bool(places)}{places}{unsure}"


def paper_view() -> View:
    """The paper's own tables."""
    returns = {
        place: {name: Span(value, value, value, 1) for name, value in row.items()} for place, row in table1().items()
    }
    return View(
        runtime=PAPER,
        returns=returns,
        ratios={},
        prunable={place: {"l1": row.l1_ratio, "l2": row.l2_ratio} for place, row in table2().items()},
        optima={place: (row.norm, row.ratio) for place, row in table3().items()},
        kept={},
    )


def study_view(combinations: Sequence[Combination], runtime: str) -> View:
    """What the study measured under ``runtime``, where the baseline has learned."""
    own = [combination for combination in combinations if combination.runtime == runtime]
    learned = {(c.algorithm, c.environment): c for c in own if c.learned.verdict == "learned"}
    optima = {place: optimum(combination) for place, combination in learned.items()}
    return View(
        runtime=runtime,
        returns={place: _returns(combination) for place, combination in learned.items()},
        ratios={place: _ratios(combination) for place, combination in learned.items()},
        prunable={place: found for place, c in learned.items() if (found := _prunable(c))},
        optima={place: (norm, ratio or 0.0) for place, (norm, ratio, _) in optima.items() if norm is not None},
        kept={place: _kept(combination) for place, combination in learned.items()},
        left=len(own) - len(learned),
        combinations=tuple(own),
        unbroken={place: ratio for place, c in learned.items() if (ratio := _unbroken(c)) is not None},
        keeping=frozenset(
            (c.algorithm, c.environment, v.recipe) for c in combinations for v in c.variants if v.keeps_90_percent
        ),
    )


def span_of(known: MaybeEstimate) -> Span | None:
    """The span of an estimate; without an interval the estimate itself."""
    if not isinstance(known, Estimate):
        return None
    lower = known.value if known.lower is None else known.lower
    upper = known.value if known.upper is None else known.upper
    return Span(known.value, lower, upper, known.runs if known.unit == "training seeds" else 1)


def _spans(known: Mapping[Any, MaybeEstimate]) -> dict[Any, Span]:
    return {name: span for name, value in known.items() if (span := span_of(value)) is not None}


def _returns(combination: Combination) -> dict[str, Span]:
    known: dict[str, MaybeEstimate] = {"baseline": combination.baseline}
    return _spans(known | {v.method: v.returns for v in combination.variants if v.method in METHODS and _may(v)})


def _may(variant: Variant) -> bool:
    """Whether its return says anything of the method.

    Agents that were trained anew differ from the baseline's by their training's seed alone, which several seeds tell
    apart, and by another update, which nothing does.
    """
    return variant.method != "qat" or (len(variant.returns_by_seed) > 1 and not variant.other_training)


def _ratios(combination: Combination) -> dict[str, Span]:
    return _spans({v.method: v.ratio_to_baseline for v in combination.variants if v.method in METHODS and _may(v)})


def _kept(combination: Combination) -> dict[tuple[str, float], Span]:
    pruned = [v for v in combination.variants if v.method in NORMS and v.ratio is not None]
    return _spans({(v.method, v.ratio): v.ratio_to_baseline for v in pruned})


def _prunable(combination: Combination) -> dict[str, float]:
    """Of both norms, where all ratios of both were measured."""
    found = {norm: most_pruned(combination.of_method(norm)) for norm in NORMS}
    known = {norm: pruned.ratio or 0.0 for norm, pruned in found.items() if pruned is not None and pruned.complete}
    return known if len(known) == len(NORMS) else {}


def _unbroken(combination: Combination) -> float | None:
    """Of the norm that removes more, where all ratios of both were measured."""
    found = {norm: most_pruned(combination.of_method(norm)) for norm in NORMS}
    if not _prunable(combination):
        return None
    return max(pruned.unbroken or 0.0 for pruned in found.values() if pruned is not None)


def keeps(span: Span) -> bool | None:
    """Whether a ratio to the baseline is at least 90 %, as far as the interval tells."""
    return span.above(LU_SHARE)


def percent(share: float) -> str:
    """A share in words.

    >>> percent(0.4)
    '40 %'
    """
    return f"{100 * share:.0f} %"


def chance(p: float) -> str:
    """A p-value in words.

    >>> chance(0.304), chance(0.0002)
    ('p = 0.30', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.095 else f"p = {p:.2f}"


def named(place: Place) -> str:
    """A place in words.

    >>> named(("td3", "Ant"))
    'TD3 Ant'
    """
    return f"{place[0].upper()} {place[1]}"
