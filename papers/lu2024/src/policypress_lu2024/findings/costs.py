"""The paper's statements on memory, time, energy and size, judged on a study's cost measurements.

The paper shows these in Figures 1 to 3, which are drawings without numbers: nothing can be derived from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from policypress.measurement.statistics import LU_SHARE
from policypress.report.studies.cost_estimates import Cost
from policypress.report.studies.estimates import Estimate
from policypress.report.studies.evidence import Evidence, Verdict
from policypress_lu2024.cells.combination import Combination, Variant
from policypress_lu2024.findings.claims import GENERALLY, Tally, View, span_of
from policypress_lu2024.paper import METHODS, NORMS

_SAME_MEMORY = 0.01  # a smaller change of peak memory is none
_SAME_TIME = 0.05
_ONE_PERCENT = (0.005, 0.015)
_LEAST = 5
_KEEPERS = "Of the recipes that keep 90 % of the return"
_WHERE = 0.9  # of the recipes that take less energy: "only where the return falls"
_DRAWN = "The paper shows it in {figures}, drawings without numbers: nothing can be derived."


def memory_of_quantized(view: View) -> Evidence:
    """Quantization does not lower memory use; PTDQ and PTSQ raise it."""
    if view.is_paper:
        return view.says("no data", _DRAWN.format(figures="Figure 1"))
    lower: list[bool | None] = []
    higher: list[bool | None] = []
    shares: dict[str, list[float]] = {}
    for method, share in _relative(view, "peak_rss", METHODS):
        shares.setdefault(method, []).append(share)
        lower.append(share < 1 - _SAME_MEMORY)
        if method != "qat":
            higher.append(share > 1 + _SAME_MEMORY)
    if not lower:
        return _nothing(view, "memory")
    not_lower, raised = Tally(lower.count(False), lower.count(True)), Tally.of(higher)
    verdicts = {view.verdict(not_lower, GENERALLY), view.verdict(raised, GENERALLY)}
    text = (
        f"{_KEEPERS}, peak memory is not lower (by over 1 %) in {view.told(not_lower, 'quantized agents')}, and higher "
        f"(by over 1 %) in {view.told(raised, 'of PTDQ and PTSQ')}. Median relative to fp32: {_medians(shares)}."
    )
    return view.says(_both(verdicts), text, not_lower=not_lower.yes, raised=raised.yes, agents=not_lower.total)


def memory_of_pruned(view: View) -> Evidence:
    """Pruning saves about 1 % of memory."""
    if view.is_paper:
        return view.says("no data", _DRAWN.format(figures="Figures 2 and 3"))
    shares = [share for _, share in _relative(view, "peak_rss", NORMS)]
    if not shares:
        return _nothing(view, "memory")
    saved = 1 - median(shares)
    close = _ONE_PERCENT[0] <= saved <= _ONE_PERCENT[1]
    verdict: Verdict = "undecided" if len(shares) < _LEAST else "holds" if close else "does not hold"
    text = f"{_KEEPERS}, pruning saves {100 * saved:.1f} % of peak memory in the median of {len(shares)}."
    return view.says(verdict, text, saved=saved, recipes=len(shares))


def no_faster(view: View) -> Evidence:
    """Neither quantization nor pruning shortens inference time."""
    return _no_gain(view, "latency", "inference time")


def no_less_energy(view: View) -> Evidence:
    """Neither quantization nor pruning saves energy."""
    return _no_gain(view, "energy_per_action", "energy of an action")


def energy_follows_return(view: View) -> Evidence:
    """Energy falls only where the return falls, since episodes end early."""
    if view.is_paper:
        return view.says("no data", _DRAWN.format(figures="Figures 1 to 3"))
    if not any(isinstance(variant.ratio_to_baseline, Estimate) for _, variant in _variants(view, (*METHODS, *NORMS))):
        return view.says("no data", "No returns are known under this runtime, beside which energy could be set.")
    energy = _falling(view, "energy_per_episode")
    lengths = _falling(view, "episode_length")
    shorter = (
        f" Episodes are shorter by over 5 % in {lengths.total} recipes, and the return has fallen by over 10 % in "
        f"{lengths.yes} of them."
    )
    if not any(_relative(view, "energy_per_episode", (*METHODS, *NORMS))):
        return view.says("no data", "Energy is not measured." + shorter, shorter=lengths.total, fell=lengths.yes)
    if not energy.total:
        text = "No recipe takes over 5 % less energy for an episode." + shorter
        return view.says("undecided", text, less_energy=0, shorter=lengths.total, fell=lengths.yes)
    text = (
        f"Where an episode takes over 5 % less energy, the return has fallen by over 10 % in "
        f"{view.told(energy, 'recipes')}.{shorter}{_modelled(view, 'energy_per_episode')}"
    )
    return view.says(view.verdict(energy, _WHERE), text, less_energy=energy.total, fell=energy.yes)


def smaller(view: View) -> Evidence:
    """Model size falls."""
    if view.is_paper:
        text = "The paper points to Table 3 for sizes, which gives pruning ratios and no size."
        return view.says("no data", text)
    quantized = [share for _, share in _relative(view, "packed_bytes", METHODS)]
    pruned = [share for _, share in _relative(view, "packed_bytes", NORMS)]
    shares = quantized + pruned
    if not shares:
        return _nothing(view, "size")
    tally = Tally.of(share < 1 for share in shares)
    parts = [f"{kind} {median(found):.2f}" for kind, found in (("quantized", quantized), ("pruned", pruned)) if found]
    medians = ", ".join(parts)
    text = f"{_KEEPERS}, the policy is smaller than fp32 in {view.told(tally, '')}; median of the ratio: {medians}."
    return view.says(view.verdict(tally, GENERALLY), text, smaller=tally.yes, recipes=tally.total)


def _no_gain(view: View, quantity: str, name: str) -> Evidence:
    if view.is_paper:
        return view.says("no data", _DRAWN.format(figures="Figures 1 to 3"))
    shares: dict[str, list[float]] = {}
    for method, share in _relative(view, quantity, (*METHODS, *NORMS)):
        shares.setdefault(method, []).append(share)
    if not shares:
        return _nothing(view, name)
    tally = Tally.of(share >= 1 - _SAME_TIME for found in shares.values() for share in found)
    text = (
        f"{_KEEPERS}, the {name} is not lower (by over 5 %) in {view.told(tally, '')}. Median relative to fp32 "
        f"under the same runtime: {_medians(shares)}.{_modelled(view, quantity)}"
    )
    return view.says(view.verdict(tally, GENERALLY), text, no_gain=tally.yes, recipes=tally.total)


def _variants(view: View, methods: tuple[str, ...]) -> Iterator[tuple[Combination, Variant]]:
    """Costs do not ask whether the baseline has learned."""
    for combination in view.combinations:
        for variant in combination.variants:
            if variant.method in methods:
                yield combination, variant


def _relative(view: View, quantity: str, methods: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    """Of recipes that keep 90 % of the return under some runtime: what saves by losing it is no gain."""
    for combination, variant in _variants(view, methods):
        span = span_of(variant.costs[quantity].relative)
        if span is not None and (combination.algorithm, combination.environment, variant.recipe) in view.keeping:
            yield variant.method, span.value


def _falling(view: View, quantity: str) -> Tally:
    """Of the recipes that take over 5 % less of something: has the return fallen by over 10 %?"""
    fallen = []
    for combination, variant in _variants(view, (*METHODS, *NORMS)):
        cost: Cost = variant.costs[quantity]
        less, kept = cost.relative, variant.ratio_to_baseline
        if combination.learned.verdict != "learned" or not isinstance(kept, Estimate):
            continue
        if isinstance(less, Estimate) and less.value < 1 - _SAME_TIME:
            fallen.append(kept.value < LU_SHARE)
    return Tally.of(fallen)


def _modelled(view: View, quantity: str) -> str:
    modelled = any(v.costs[quantity].source == "modelled" for _, v in _variants(view, (*METHODS, *NORMS)))
    return " Energy is modelled from CPU time here, not measured." if modelled and "energy" in quantity else ""


def _medians(shares: dict[str, list[float]]) -> str:
    return ", ".join(f"{method.upper()} {median(found):.2f}" for method, found in shares.items())


def _both(verdicts: set[Verdict]) -> Verdict:
    order: tuple[Verdict, ...] = ("does not hold", "undecided", "no data", "holds")
    return next(verdict for verdict in order if verdict in verdicts)


def _nothing(view: View, what: str) -> Evidence:
    return view.says("no data", f"{what.capitalize()} is not measured under this runtime.")
