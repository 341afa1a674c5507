"""The paper's statements on quantization, judged on its Table 1 or on a study's returns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from statistics import median

from policypress.report.studies.evidence import Evidence, Verdict
from policypress_lu2024.findings.claims import SIGNIFICANT, Span, Tally, View, chance, percent, span_of
from policypress_lu2024.findings.exact_tests import at_least, multinomial_test, sign_test
from policypress_lu2024.paper import METHODS, Place
from policypress_lu2024.paper_rows import best_of

PUBLISHED_SHARES = {"ptdq": 0.40, "ptsq": 0.24, "qat": 0.36}
_STANDUP = "HumanoidStandup"
_MENDERS = {
    "own": ("ptsq(calibrate=own)", "calibrating on the quantized policy's own states"),
    "evaluation": ("ptsq(calibrate=evaluation)", "calibrating on states of the evaluation"),
    "scaled": ("equalize > ptsq", "scaling the inputs on the same states"),
}
_SHIFTED = ("own", "evaluation")
_MOST = 0.5  # of a loss
_LOSING = 0.95  # of the baseline's return: less is a loss that can be mended


def best_shares(view: View) -> Evidence:
    """PTDQ is the best in 40 % of the combinations, QAT in 36 %, PTSQ in 24 %."""
    counts, total = _bests(view)
    if not total:
        return _nothing(view)
    p = multinomial_test([counts[m] for m in METHODS], [PUBLISHED_SHARES[m] for m in METHODS])
    each = {view.printed_share(counts[m], total, PUBLISHED_SHARES[m]) for m in METHODS}
    verdict: Verdict = "does not hold" if p < SIGNIFICANT else "holds" if each == {"holds"} else "undecided"
    text = (
        f"Best: {_told(counts, total)}. Chance of counts as far from the paper's shares as these: {p:.2f}; shares "
        "within 10 points are the paper's."
    )
    return view.says(verdict, text, counts=dict(counts), combinations=total, p=p)


def ptdq_superior(view: View) -> Evidence:
    """PTDQ statistically outperforms the other quantizers."""
    counts, total = _bests(view)
    if not total:
        return _nothing(view)
    rows = view.quantized()
    p_equal = multinomial_test([counts[m] for m in METHODS], [1 / 3] * 3)
    pairs = {other: _wins(rows, "ptdq", other) for other in ("qat", "ptsq")}
    tests = {other: sign_test(*wins) for other, wins in pairs.items()}
    superior = all(wins[0] > wins[1] and tests[other] < SIGNIFICANT for other, wins in pairs.items())
    inferior = any(wins[0] < wins[1] and tests[other] < SIGNIFICANT for other, wins in pairs.items())
    # What a paper claims to be significant and is not in its own table does not hold there; a study may be too small.
    verdict: Verdict = "holds" if superior else "does not hold" if inferior or view.is_paper else "undecided"
    against = "; ".join(
        f"higher than {other.upper()} in {wins[0]} of {sum(wins)} (sign test {chance(tests[other])})"
        for other, wins in pairs.items()
    )
    text = (
        f"Best in {counts['ptdq']} of {total}: as many or more by chance with "
        f"{chance(at_least(counts['ptdq'], total, 1 / 3))}; all three equally good {chance(p_equal)}. PTDQ is "
        f"{against}."
    )
    return view.says(verdict, text, counts=dict(counts), combinations=total, p_equal=p_equal, sign_tests=tests)


def ptsq_worst(view: View) -> Evidence:
    """PTSQ consistently shows the lowest results."""
    rows = view.quantized()
    if not rows:
        return _nothing(view)
    counts = Counter(
        worst
        for spans in rows.values()
        if (worst := best_of({method: -span.value for method, span in spans.items()})) is not None
    )
    total = len(rows)
    p = at_least(counts["ptsq"], total, 1 / 3)
    most = max(METHODS, key=lambda method: counts[method])
    p_most = at_least(counts[most], total, 1 / 3)
    verdict: Verdict = "undecided"
    if counts["ptsq"] / total >= 2 / 3 and p < SIGNIFICANT:
        verdict = "holds"
    elif most != "ptsq" and (view.is_paper or p_most < SIGNIFICANT):
        verdict = "does not hold"
    text = f"Lowest: {_told(counts, total)}; PTSQ as often or more by chance with {chance(p)}. {_medians(view, rows)}"
    return view.says(verdict, text, counts=dict(counts), combinations=total, p=p)


def qat_standup(view: View) -> Evidence:
    """QAT is at its best on HumanoidStandup: higher than the baseline and the other quantizers, except with PPO."""
    answers = {}
    for place, spans in view.returns.items():
        if place[1] == _STANDUP and place[0] != "ppo" and set(METHODS) | {"baseline"} <= set(spans):
            others = [spans[name] for name in ("baseline", "ptdq", "ptsq")]
            answers[place] = _all(_sure(view, spans["qat"], other) for other in others)
    tally = Tally.of(answers.values())
    if not tally.total:
        return _nothing(view)
    ppo = view.returns.get(("ppo", _STANDUP), {})
    exception = ""
    if {"qat", "baseline"} <= set(ppo):
        share = ppo["qat"].value / ppo["baseline"].value
        exception = f" With PPO it has {percent(share)} of the baseline's return."
    text = (
        f"On HumanoidStandup without PPO, QAT is higher than the baseline, PTDQ and PTSQ in {tally.told()}.{exception}"
    )
    return view.says(tally.everywhere(4), text, yes=tally.yes, no=tally.no, unsure=tally.unsure)


def qat_sac(view: View) -> Evidence:
    """SAC benefits more from QAT than from the other quantizers, except on Hopper."""
    answers = {}
    for place, spans in view.quantized().items():
        if place[0] == "sac":
            higher = _all(_sure(view, spans["qat"], spans[other]) for other in ("ptdq", "ptsq"))
            answers[place] = higher if place[1] != "Hopper" else None if higher is None else not higher
    tally = Tally.of(answers.values())
    if not tally.total:
        return _nothing(view)
    kept = {
        place[1]: spans["qat"].value / spans["baseline"].value
        for place, spans in view.returns.items()
        if place[0] == "sac" and {"qat", "baseline"} <= set(spans) and spans["baseline"].value > 0
    }
    shares = ", ".join(f"{environment} {percent(share)}" for environment, share in kept.items())
    text = (
        "SAC's QAT is the highest of the three where the statement says so, and not on Hopper, in "
        f"{tally.told('environments')}. Of the baseline's return it keeps: {shares}."
    )
    return view.says(tally.everywhere(4), text, yes=tally.yes, no=tally.no, unsure=tally.unsure, kept=kept)


def ptsq_shift(view: View) -> Evidence:
    """PTSQ's loss comes from a shift between calibration data and the states that are met."""
    if view.is_paper:
        text = (
            "The paper offers this as a likely reason and tests nothing of it: no table varies the calibration data. "
            "Nothing can be derived."
        )
        return view.says("no data", text)
    mended = {name: _mended(view, recipe) for name, (recipe, _) in _MENDERS.items()}
    known = {name: shares for name, shares in mended.items() if shares is not None}
    if not known:
        text = (
            "The study has no PTSQ that is calibrated on other states, and none with scaled inputs on the same states "
            "(`equalize > ptsq`), which would tell a shift from badly scaled inputs."
        )
        return view.says("no data", text)
    told = "; ".join(
        f"{_MENDERS[name][1]} in {sum(share >= _MOST for share in shares.values())} of {len(shares)}"
        for name, shares in known.items()
    )
    moved = [known[name] for name in _SHIFTED if name in known]
    if moved:
        # A shift would be mended by calibrating on the states that are met.
        losing = set().union(*moved)
        tally = Tally.of(any(shares.get(place, 0.0) >= _MOST for shares in moved) for place in losing)
    else:
        tally = Tally.of(share < _MOST for shares in known.values() for share in shares.values())
    if not tally.total:
        return view.says("undecided", "PTSQ loses over 5 % of the return beyond chance in no combination.", losing=0)
    text = (
        f"Half of PTSQ's loss or more, of the {tally.total} combinations that lose over 5 % and beyond chance, is made "
        f"up for by {told}. The statement would have it by other states, in half of them or more: so it is in "
        f"{view.told(tally, '')}."
    )
    verdict = view.verdict(tally, _MOST)
    return view.says(verdict, text, losing=tally.total, **{name: sorted(known[name].values()) for name in known})


def _mended(view: View, recipe: str) -> dict[str, float] | None:
    """Share of PTSQ's loss that ``recipe`` makes up for, by combination with a real loss; None without returns.

    A loss is real where the return is over 5 % lower and the interval of its share of the baseline's lies below 1.
    """
    measured, mended = False, {}
    for combination in view.combinations:
        plain, other = combination.variant("ptsq"), combination.variant(recipe)
        if plain is None or other is None or combination.learned.verdict != "learned":
            continue
        if not (plain.returns_by_seed and other.returns_by_seed and combination.baseline_by_seed):
            continue
        measured = True
        base, lost, found = (
            _mean(by_seed) for by_seed in (combination.baseline_by_seed, plain.returns_by_seed, other.returns_by_seed)
        )
        share = span_of(plain.ratio_to_baseline)
        if lost < _LOSING * base and share is not None and share.upper < 1:
            mended[combination.name] = (found - lost) / (base - lost)
    return mended if measured else None


def _bests(view: View) -> tuple[Counter[str], int]:
    rows = view.quantized()
    bests = [best_of({method: span.value for method, span in spans.items()}) for spans in rows.values()]
    return Counter(best for best in bests if best is not None), len(rows)


def _wins(rows: Mapping[Place, Mapping[str, Span]], first: str, second: str) -> tuple[int, int]:
    more = sum(spans[first].value > spans[second].value for spans in rows.values())
    less = sum(spans[first].value < spans[second].value for spans in rows.values())
    return more, less


def _sure(view: View, one: Span, other: Span) -> bool | None:
    """Whether one is more than the other; of a study only where several training seeds say so."""
    if not view.is_paper and min(one.runs, other.runs) < 2:
        return None
    return one.beats(other) if one.value != other.value or not view.is_paper else False


def _all(answers: Iterable[bool | None]) -> bool | None:
    found = list(answers)
    return False if False in found else None if None in found else True


def _told(counts: Counter[str], total: int) -> str:
    parts = [f"{method.upper()} in {counts[method]}" for method in METHODS]
    return f"{', '.join(parts)} of {total} combinations"


def _medians(view: View, rows: Mapping[Place, Mapping[str, Span]]) -> str:
    shares = {}
    for method in METHODS:
        found = [
            spans[method].value / view.returns[place]["baseline"].value
            for place, spans in rows.items()
            if "baseline" in view.returns[place] and view.returns[place]["baseline"].value > 0
        ]
        if found:
            shares[method] = median(found)
    told = ", ".join(f"{method.upper()} {percent(share)}" for method, share in shares.items())
    return f"Median share of the baseline's return: {told}." if told else ""


def _mean(by_seed: Mapping[int, float]) -> float:
    return sum(by_seed.values()) / len(by_seed)


def _nothing(view: View) -> Evidence:
    missing = "No combination whose baseline has learned has returns of all that is compared here."
    trained = [v for c in view.combinations for v in c.variants if v.method == "qat" and v.returns_by_seed]
    other = sum(bool(v.other_training) for v in trained)
    if trained:
        why = f" in {other} its agents learned by another update or kernels than the baseline's;" if other else ""
        single = sum(len(v.returns_by_seed) < 2 for v in trained)
        missing += (
            f" QAT is trained in {len(trained)}:{why} in {single} there is one training seed, which does not tell the "
            "method from the seed."
        )
    return view.says("no data", missing, trained=len(trained), other_training=other)
