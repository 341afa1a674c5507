"""The rows of the paper's three tables from combinations, beside the paper's own numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from policypress.measurement.statistics import Missing
from policypress.report.studies.estimates import Estimate, MaybeEstimate
from policypress_lu2024.cells.combination import Combination, Variant
from policypress_lu2024.layout import BOTH, OptimalRow, Pruned, PruningRow, QuantizationRow
from policypress_lu2024.paper import METHODS, NORMS, table1, table2, table3

NOT_PLANNED = Missing("not planned")
_NOT_POSITIVE = "the baseline's mean return is not positive, so that 90 % of it says nothing"


def quantization_rows(combinations: Iterable[Combination]) -> tuple[QuantizationRow, ...]:
    """Table 1."""
    return tuple(_quantization_row(combination) for combination in combinations)


def pruning_rows(combinations: Iterable[Combination]) -> tuple[PruningRow, ...]:
    """Table 2."""
    return tuple(_pruning_row(combination) for combination in combinations)


def optimal_rows(combinations: Iterable[Combination]) -> tuple[OptimalRow, ...]:
    """Table 3."""
    return tuple(_optimal_row(combination) for combination in combinations)


def best_of(returns: Mapping[str, float]) -> str | None:
    """The one name with the highest return; None where two share it.

    >>> best_of({"ptdq": 3.0, "ptsq": 1.0, "qat": 2.0})
    'ptdq'
    """
    if not returns:
        return None
    highest = [name for name, value in returns.items() if value == max(returns.values())]
    return highest[0] if len(highest) == 1 else None


def most_pruned(variants: Sequence[Variant]) -> Pruned | None:
    """The largest ratio of one norm that keeps 90 % of the return; None where nothing of it was measured."""
    judged = [variant for variant in variants if variant.keeps_90_percent is not None]
    if not judged:
        return None
    judged.sort(key=lambda variant: variant.ratio or 0.0)
    passing = [variant for variant in judged if variant.keeps_90_percent]
    chosen = passing[-1] if passing else judged[0]
    # Further training seeds may be left: every row says how many it has.
    complete = all(variant.cells.left == 0 or variant.keeps_90_percent is not None for variant in variants)
    unbroken = None
    for variant in judged:
        if not variant.keeps_90_percent:
            break
        unbroken = variant.ratio
    return Pruned(chosen.ratio if passing else None, complete, chosen.returns, unbroken)


def _quantization_row(combination: Combination) -> QuantizationRow:
    found = {method: combination.variant(method) for method in METHODS}
    returns: dict[str, MaybeEstimate] = {"baseline": combination.baseline}
    returns |= {method: NOT_PLANNED if variant is None else variant.returns for method, variant in found.items()}
    values = {name: value.value for name, value in returns.items() if isinstance(value, Estimate)}
    published = table1().get((combination.algorithm, combination.environment), {})
    return QuantizationRow(
        combination=combination.name,
        returns=returns,
        published=published,
        best=best_of({name: values[name] for name in METHODS}) if set(METHODS) <= set(values) else None,
        published_best=best_of({name: published[name] for name in METHODS if name in published}),
    )


def _pruning_row(combination: Combination) -> PruningRow:
    ratios = {norm: pruned for norm in NORMS if (pruned := most_pruned(combination.of_method(norm))) is not None}
    known = [pruned.returns for pruned in ratios.values() if isinstance(pruned.returns, Estimate)]
    published = table2().get((combination.algorithm, combination.environment))
    return PruningRow(
        combination=combination.name,
        baseline=combination.baseline,
        best=max(known, key=lambda value: value.value) if known else Missing(_nothing(combination)),
        ratios=ratios,
        published={} if published is None else dict(vars(published)),
    )


def _optimal_row(combination: Combination) -> OptimalRow:
    published = table3().get((combination.algorithm, combination.environment))
    norm, ratio, reason = optimum(combination)
    return OptimalRow(
        combination=combination.name,
        norm=norm,
        ratio=ratio,
        reason=reason,
        published_norm=None if published is None else published.norm,
        published_ratio=None if published is None else published.ratio,
    )


def optimum(combination: Combination) -> tuple[str | None, float | None, str]:
    """Norm and ratio that prune most by the 90 % rule, or why that is not known.

    The norm is ``none`` where no ratio passes, and ``both`` where they are equal in ratio and return.
    """
    found = {norm: most_pruned(combination.of_method(norm)) for norm in NORMS}
    known = {norm: pruned for norm, pruned in found.items() if pruned is not None}
    if len(known) < len(NORMS):
        return None, None, _nothing(combination)
    if not all(pruned.complete for pruned in known.values()):
        return None, None, "not every ratio has been measured, and larger ones may pass"
    passing = {norm: pruned for norm, pruned in known.items() if pruned.ratio is not None}
    if not passing:
        return "none", None, ""

    def rank(norm: str) -> tuple[float, float]:
        pruned = passing[norm]
        return pruned.ratio or 0.0, pruned.returns.value if isinstance(pruned.returns, Estimate) else 0.0

    chosen = max(passing, key=rank)
    tied = [norm for norm in passing if rank(norm) == rank(chosen)]
    return chosen if len(tied) == 1 else BOTH, passing[chosen].ratio, ""


def _nothing(combination: Combination) -> str:
    """Why there is no number of any pruning."""
    if isinstance(combination.baseline, Missing):
        return f"baseline: {combination.baseline.reason}"
    if combination.baseline.value <= 0:
        return _NOT_POSITIVE
    variants = [variant for norm in NORMS for variant in combination.of_method(norm)]
    reasons = [variant.returns.reason for variant in variants if isinstance(variant.returns, Missing)]
    return reasons[0] if reasons else NOT_PLANNED.reason
