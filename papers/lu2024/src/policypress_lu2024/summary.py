"""Sentences of a study's report: its headline, its summary, and words for its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from policypress.report.quantities import percent
from policypress.report.studies.estimates import Estimate
from policypress.report.studies.evidence import Verdict
from policypress.report.studies.wording import listed
from policypress_lu2024.cells.methods import NORMS, QUANTIZATION, labelled, look
from policypress_lu2024.figures.aggregate_charts import PROFILE_RATIO
from policypress_lu2024.findings.conclusions import Aggregate
from policypress_lu2024.study_report import StudyReport

_VERDICTS: tuple[Verdict, ...] = ("holds", "does not hold", "undecided", "no data")


def headline(report: StudyReport) -> str:
    """The title of the page: the best-known fact, never more than the numbers carry."""
    if not trained(report):
        return "Nothing has been measured yet"
    ranked = sorted(
        (a.iqm.value, look(a.method).label)
        for a in _known(report, report.runtimes[0])
        if a.method in QUANTIZATION and isinstance(a.iqm, Estimate)
    )
    if not ranked:
        return f"{trained(report)} of {combinations(report)} combinations measured, no aggregate yet"
    (low, worst), (high, best) = ranked[0], ranked[-1]
    if len(ranked) == 1:
        return f"{best} keeps {percent(high, 0)} of the return"
    return f"Quantized agents keep {percent(low, 0)} ({worst}) to {percent(high, 0)} ({best}) of the return"


def sentences(report: StudyReport) -> tuple[str, str, str]:
    """The answer: what there is, what compression does to returns, and how the paper's statements fare."""
    return _coverage(report), _returns(report), _statements(report)


def combinations(report: StudyReport) -> int:
    """Number of combinations of algorithm and environment, whatever the runtime."""
    return len({(c.algorithm, c.environment_id) for c in report.combinations})


def trained(report: StudyReport) -> int:
    """How many of them have a measured baseline."""
    measured = [c for c in report.combinations if isinstance(c.baseline, Estimate)]
    return len({(c.algorithm, c.environment_id) for c in measured})


def verdicts(report: StudyReport, runtime: str) -> Counter[Verdict]:
    """How many of the paper's statements have each verdict on the study's data under ``runtime``."""
    found = [
        evidence.verdict for finding in report.findings for evidence in finding.study if evidence.runtime == runtime
    ]
    return Counter(found)


def _percent(aggregate: Aggregate) -> str:
    iqm = aggregate.iqm
    if not isinstance(iqm, Estimate):
        return "–"
    if iqm.lower is None or iqm.upper is None:
        return percent(iqm.value)
    return f"{percent(iqm.value)} ({100 * iqm.lower:.1f} to {100 * iqm.upper:.1f})"


def _known(report: StudyReport, runtime: str) -> list[Aggregate]:
    return [a for a in report.aggregates if a.runtime == runtime and isinstance(a.iqm, Estimate)]


def _coverage(report: StudyReport) -> str:
    planned = combinations(report)
    if not trained(report):
        return f"None of the {planned} combinations of algorithm and environment has been measured."
    first = [c for c in report.combinations if c.runtime == report.runtimes[0] and isinstance(c.baseline, Estimate)]
    learned = sum(c.learned.verdict == "learned" for c in first)
    seeds = [len(c.seeds) for c in first]
    each = str(min(seeds)) if min(seeds) == max(seeds) else f"{min(seeds)} to {max(seeds)}"
    total = report.cells.done + report.cells.failed + report.cells.left
    return (
        f"Of {planned} combinations of algorithm and environment {trained(report)} have been measured, with {each} "
        f"training {'seed' if each == '1' else 'seeds'} each; {learned} of their baselines are known to have learned, "
        f"and only those are in aggregates. {report.cells.done:,} of {total:,} cells are done."
    )


def _returns(report: StudyReport) -> str:
    parts = []
    for runtime in report.runtimes:
        known = _known(report, runtime)
        shown = [a for a in known if a.method in QUANTIZATION and a.ratio is None]
        shown += [a for a in known if a.method in NORMS and a.ratio == PROFILE_RATIO]
        if shown:
            under = "" if len(report.runtimes) == 1 else f" under {runtime}"
            kept = listed([f"{labelled(a.method, a.ratio)} {_percent(a)}" for a in shown])
            parts.append(f"Interquartile mean of the return kept{under}: {kept}.")
    if parts:
        return " ".join(parts)
    reasons = dict.fromkeys(a.missing for a in report.aggregates if a.missing)
    why = f": {listed(list(reasons))}" if reasons else ""
    return f"Methods cannot be compared over combinations yet{why}."


def _statements(report: StudyReport) -> str:
    total = len(report.findings)
    if not total:
        return "No statement of the paper has been judged."
    borne = sum(finding.paper.verdict == "holds" for finding in report.findings)
    told = []
    for runtime in report.runtimes:
        counts = verdicts(report, runtime)
        under = "" if len(report.runtimes) == 1 else f" under {runtime}"
        words = [f"{_verb(counts[verdict], verdict)}" for verdict in _VERDICTS if counts[verdict]]
        if words:
            told.append(f"on this study's data{under} {listed(words)}")
    return (
        f"Of the paper's {total} statements its own tables bear out {borne}"
        + ("; " + "; ".join(told) if told else "")
        + "."
    )


def _verb(count: int, verdict: Verdict) -> str:
    one, many = {
        "holds": ("holds", "hold"),
        "does not hold": ("does not hold", "do not hold"),
        "undecided": ("is undecided", "are undecided"),
        "no data": ("has no data", "have no data"),
    }[verdict]
    return f"{count} {one if count == 1 else many}"


def unlearned(report: StudyReport) -> Sequence[str]:
    """Every baseline that has not learned, or of which it is not known, with the reason."""
    return [
        f"{c.algorithm.upper()} {c.environment}: {c.learned.reason}"
        for c in report.combinations
        if isinstance(c.baseline, Estimate) and c.learned.verdict != "learned" and c.runtime == report.runtimes[0]
    ]
