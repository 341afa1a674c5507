"""A search in sentences: what was certified and on what, how it was found, and what a certificate does not say."""

from __future__ import annotations

from policypress.measurement.certificate.words import in_words
from policypress.measurement.statistics import Interval, Missing
from policypress.report.quantities import percent, size, times
from policypress.report.recipe_results import RecipeResult
from policypress.report.results import Results
from policypress.search.history import Certification, SearchHistory, Stage
from policypress.search.robustness import Disturbed

STAGES: dict[Stage, str] = {
    "certified": "certified",
    "not certified": "not certified",
    "promising": "promising",
    "raced": "raced, out",
    "built": "not raced",
    "failed": "failed",
}
_MINIMIZED = {
    "size": "packed bytes",
    "macs": "multiply-accumulates",
    "latency": "latency",
    "energy": "energy of an action",
}


def headline(results: Results, search: SearchHistory) -> str:
    """The end of the search in one line."""
    smaller = _smaller(results)
    match search.ending:
        case "certified":
            return f"{smaller} smaller, certified to keep {percent(search.keep, 0)}"
        case "refused":
            return "nothing can be certified"
        case "interrupted":
            return "not complete yet"
    return f"nothing smaller is certified to keep {percent(search.keep, 0)}"


def lead(results: Results, search: SearchHistory) -> list[str]:
    """The end of the search in a few sentences."""
    won, winner, base = search.won, results.winner, results.baseline.artifact
    if won is None or winner is None or winner.artifact is None or base is None:
        return [search.summary, funnel(search)]
    return [
        f"The recipe “{winner.name}” takes {size(winner.artifact.packed_bytes)} instead of {size(base.packed_bytes)}. "
        f"With {percent(search.confidence, 0)} confidence it keeps at least {percent(search.keep, 0)} of the return "
        f"above random actions: {certificate_in_words(won)}.",
        funnel(search),
    ]


def certificate_in_words(attempt: Certification) -> str:
    """The numbers of a certificate."""
    found = attempt.certificate
    if found.retention is None or found.lower is None:
        return found.reason
    if found.crashes is None or found.rule == "deterministic":
        return found.reason
    crashes = "no crash" if not found.crashes else f"{found.crashes} crash{'es' if found.crashes > 1 else ''}"
    return (
        f"it kept {percent(found.retention)} in {found.episodes} held-out pairs of episodes with {crashes}, lower "
        f"bound {percent(found.lower)}"
    )


def funnel(search: SearchHistory) -> str:
    """How many recipes came how far."""
    stages = [tried.stage for tried in search.tried]
    built = sum(stage != "failed" for stage in stages)
    raced = sum(stage not in ("built", "failed") for stage in stages)
    good = sum(stage in ("promising", "certified", "not certified") for stage in stages)
    failed = f", {stages.count('failed')} could not be built" if "failed" in stages else ""
    return (
        f"The search built {built} recipe{'s' if built != 1 else ''}{failed}, raced {raced}, found {good} promising "
        f"and tried to certify {len(search.attempts)}; {search.episodes} episodes were played."
    )


def caution(search: SearchHistory) -> list[str]:
    """What the certificate rests on, and what it does not say."""
    if search.won is None:
        return [
            "The retention of each recipe below was measured on the episodes that recipes were chosen by, which "
            "flatters the best of them."
        ]
    return [
        *in_words(search.won.certificate),
        "It speaks of this agent in this environment, episodes drawn as here, deterministic actions. The retentions "
        "below are those of the race, which recipes were chosen by; only the certificate is on held-out episodes.",
    ]


def method(search: SearchHistory) -> list[str]:
    """How the search went about it, in sentences."""
    sentences = [
        "Recipes were built from ladders of structure and bits; of all that are smaller, the Pareto front of "
        f"{_MINIMIZED[search.minimize]} and action error on held-out observations was bisected by racing: more "
        "episodes only while they could change what is thought of a recipe.",
        "A certificate is what bets have earned on the mean of C − keep·B over pairs of episodes of candidate and "
        "baseline on the same seeds (Waudby-Smith and Ramdas 2024): no distribution is assumed, nothing of how they "
        "depend on each other, and the uncertainty of the baseline and of random actions is in it. An episode counts "
        "at least and at most the limits that were declared before the first of them.",
    ]
    if search.attempts:
        spent = search.attempts[-1].certificate.alpha
        sentences.append(
            f"The k-th candidate may spend α/2^k of the error α = {1 - search.confidence:.3g}; the last one spent "
            f"{spent:.3g}. Seeds of certification are used for nothing else."
        )
    if search.deterministic:
        sentences.append("The environment is deterministic: one episode is all there is.")
    return sentences


def stage_of(row: RecipeResult) -> str:
    """How far a row came."""
    return "" if row.tried is None else STAGES[row.tried.stage]


def closing(results: Results) -> list[str]:
    """The last lines in the terminal."""
    search, winner = results.search, results.winner
    if search is None:
        chosen = "none keeps 95 % for sure" if winner is None else f"{winner.name} (measured, not certified)"
        return [f"winner: {chosen}"]
    said = [funnel(search)]
    if search.won is not None and winner is not None:
        file = "" if winner.file is None else f"  {winner.file}"
        said.append(f"winner: {winner.name}, {_smaller(results)} smaller{file}")
        said.append(
            f"certified: keeps at least {search.keep:g} of the return with confidence {search.confidence:g} "
            f"({certificate_in_words(search.won)})"
        )
        said += in_words(search.won.certificate)[1:]
    else:
        fallback = results.baseline.file
        said.append(search.summary + (f"  {fallback}" if fallback and search.ending != "interrupted" else ""))
    if results.robustness is not None:
        said += [disturbed_in_words(row) for row in results.robustness.rows]
    return said


def disturbed_in_words(row: Disturbed) -> str:
    """One condition in a line."""
    name = f"under {row.condition.words}"
    if isinstance(row.own, Missing) or isinstance(row.baseline, Missing) or isinstance(row.difference, Missing):
        return f"{name}: {row.reason or 'not measured'}"
    return (
        f"{name}: {row.recipe} {percent(row.own.estimate)}, fp32 {percent(row.baseline.estimate)}, "
        f"difference {_range(row.difference)}"
    )


def disturbed_verdict(row: Disturbed) -> tuple[str, str]:
    """Kind and text of the chip: whether compression made the policy more fragile."""
    if isinstance(row.difference, Missing):
        return "unknown", "cannot be told"
    if row.difference.upper < 0:
        return "loses", "more fragile"
    if row.difference.lower > 0:
        return "keeps", "sturdier"
    return "reference", "no difference seen"


def _range(value: Interval) -> str:
    return f"{percent(value.estimate)} [{percent(value.lower)}, {percent(value.upper)}]"


def _smaller(results: Results) -> str:
    winner, base = results.winner, results.baseline.artifact
    if winner is None or winner.artifact is None or base is None:
        return times(1.0)
    return times(base.packed_bytes / winner.artifact.packed_bytes)
