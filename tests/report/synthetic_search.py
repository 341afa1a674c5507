"""A search whose numbers are chosen, over the recipes of the synthetic study."""

from __future__ import annotations

import numpy as np

from policypress.measurement.certificate.certifying import certify_returns
from policypress.measurement.certificate.limits import Limits
from policypress.measurement.statistics import Interval, Missing
from policypress.search.history import CandidateResult, Certification, SearchHistory
from policypress.search.robustness import Disturbed, Robustness, conditions
from policypress_runtime.contract import Box


def attempt(recipe: str, mean: float, number: int = 1) -> Certification:
    """A certification on 150 pairs of episodes of the mean return ``mean``, of 100 for the baseline."""
    rng = np.random.default_rng(number)
    own, base, floor = (rng.normal(m, 1.0, 150).tolist() for m in (mean, 100.0, 0.0))
    limits = Limits(-10.0, 110.0, "episodes", "episodes")
    certificate = certify_returns(base, own, floor, keep=0.95, alpha=0.05 / 2**number, limits=limits)
    return Certification(number, recipe, 150, certificate, tuple(own), tuple(base))


def history(*attempts: Certification, ending: str | None = None) -> SearchHistory:
    """A search that raced two recipes, built one more and failed with another."""
    won = next((a.recipe for a in attempts if a.certificate.certified), None)
    stages = {a.recipe: "certified" if a.certificate.certified else "not certified" for a in attempts}
    tried = (
        CandidateResult("ptdq", stages.get("ptdq", "promising"), "keeps 0.990 [0.95, 1.01] in 12 episodes", 1000.0, 12),  # type: ignore[arg-type]
        CandidateResult("equalize > int8", stages.get("equalize > int8", "raced"), "so", 1100.0, 12),  # type: ignore[arg-type]
        CandidateResult("prune(l2, 0.5)", "built", "a milder one <keeps> too little", 900.0, 0),
        CandidateResult("ptsq", "failed", "The file would not do what the policy does.", None, 0),
    )
    said = ending or ("certified" if won else "nothing certified")
    return SearchHistory(
        0.95,
        0.95,
        "size",
        said,
        "A summary.",
        won,
        tried,
        attempts,
        False,
        600.0,
        5000,
        424,
        12.3,  # type: ignore[arg-type]
    )


def robustness(recipe: str) -> Robustness:
    """One condition without a difference, one that hurts, the others impossible."""
    spread = Interval(0.9, 0.88, 0.92, 0.95, "by hand")
    rows = []
    for index, condition in enumerate(conditions(Box((4,), "float32", (-1.0,), (1.0,)), (1.0, 1.0, 1.0, 1.0))):
        if index > 1:
            nothing = Missing("PhysicsScale needs a MuJoCo model")
            rows.append(Disturbed(condition, recipe, nothing, nothing, nothing, nothing.reason))
        else:
            difference = Interval(-0.2 * index, -0.2 * index - 0.01, -0.2 * index + 0.01, 0.95, "by hand")
            rows.append(Disturbed(condition, recipe, spread, spread, difference))
    return Robustness(50, tuple(rows))
