"""A certificate in words: what is certain, what is assumed, and what it would cost to assume less."""

from __future__ import annotations

from policypress.measurement.certificate.certifying import RULE_VERSION, Certificate
from policypress.measurement.certificate.falls import FallRates
from policypress.measurement.certificate.planning import MOST

OLD_RULE = (
    "This certificate was made by rule 1 of policypress, which took the worst score of the same episodes for the worst "
    "there is and Student's t for the baseline: it does not say what certificates say now. Certify it again."
)


def certain(found: Certificate) -> str:
    """What is certain, in one sentence."""
    if found.version < RULE_VERSION:
        return OLD_RULE
    if found.verdict == "refused":
        return "Nothing is certified."
    if found.rule == "deterministic" or found.limits is None:
        return f"{found.reason[:1].upper()}{found.reason[1:]}."
    above = (
        "of what the baseline has above random actions" if found.random_episodes else "of the baseline's mean return"
    )
    kept = f"With confidence {1 - found.alpha:.4g} the mean return is at least {found.keep:g} {above}"
    if not found.certified:
        kept = f"It is not certain that the mean return is at least {found.keep:g} {above}"
    also = ""
    if found.certified and found.falls is not None and found.falls.limit is not None:
        also = f" and {found.falls.limit.in_words()} (a fall: {found.falls.rule})"
    low, high = found.limits.low, found.limits.high
    return (
        f"{kept}{also}, where an episode counts as at least {low:.4g} and at most {high:.4g}: "
        f"no distribution is assumed, and it may be checked after every episode."
    )


def assumed(found: Certificate) -> str:
    """What is assumed, in one sentence."""
    if found.rule == "deterministic":
        return "It is assumed that the environment never looks at its seed, as in the episodes that were compared."
    if found.limits is None:
        return "Nothing was certified."
    same = "are drawn as these were" if found.rule == "pairs" else "are drawn as these were, independently"
    below, above, *_ = found.outside
    beyond = f"{below} of {found.episodes} episodes were worse and {above} better"
    rarer = "" if found.below_rate_upper is None else f", worse ones are rarer than {found.below_rate_upper:.2%}"
    if found.limits.low_from == "episodes":
        return (
            f"It is assumed that episodes {same}; the limits, {found.limits.in_words()}, are no law: {beyond}"
            f"{rarer}, and how much worse they may be is not known."
        )
    return f"It is assumed that episodes {same}, and that the limits are {found.limits.in_words()}: {beyond}{rarer}."


def price(found: Certificate) -> str | None:
    """What a lower limit would cost, in one sentence; None where it is not known."""
    if not found.price:
        return None
    (_, enough), *lower = found.price
    told = [f"{_about(count)} if an episode may return {low:.4g}" for low, count in lower]
    return f"The price of the lower limit: with such episodes {_about(enough)} are enough, {', '.join(told)}."


def saving(found: Certificate) -> str | None:
    """What the pairing saved, in one sentence; None where it saved nothing, or that is not known."""
    if not found.saved:
        return None
    return f"Playing both policies on the same seeds saved about {found.saved} episodes of them together."


def _about(count: int | None) -> str:
    return f"more than {MOST}" if count is None else f"about {count}"


def falls_in_words(found: FallRates) -> str:
    """Falls of candidate and baseline, with their bounds."""
    excess = f"; the excess is below {found.excess_upper:.2%}" if found.excess_upper is not None else ""
    return (
        f"Falls ({found.rule}): {found.count} in {found.episodes} episodes, rarer than {found.rate_upper:.2%}; the "
        f"baseline {found.baseline_count} in {found.baseline_episodes}, rarer than {found.baseline_rate_upper:.2%}"
        f"{excess} (each bound with confidence {1 - found.alpha:.4g})."
    )


def in_words(found: Certificate) -> list[str]:
    """Everything that there is to say of it, a sentence each; what was measured comes first."""
    told = [measured(found), certain(found)]
    if found.verdict != "refused":
        told.append(assumed(found))
    told += [sentence for sentence in (price(found), saving(found)) if sentence is not None]
    if found.falls is not None:
        told.append(falls_in_words(found.falls))
    return told


def measured(found: Certificate) -> str:
    """What the certificate was made of."""
    if found.retention is None:
        return f"{found.reason[:1].upper()}{found.reason[1:]}."
    together = "" if found.correlation is None else f" (correlation {found.correlation:.2f})"
    drawn = f"{found.episodes} pairs of episodes{together}" if found.rule == "pairs" else f"{found.episodes} episodes"
    if found.rule == "independent":
        drawn += f" against {found.baseline_episodes} of the baseline"
    if found.random_episodes:
        drawn += f" and {found.random_episodes} of random actions"
    lower = "none yet" if found.lower is None else f"{found.lower:.4f}"
    return (
        f"The policy kept {found.retention:.4f} in {drawn}; the lower bound is {lower}, and "
        f"{found.keep:g} is asked for."
    )
