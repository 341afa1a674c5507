"""Does certification do what it says? False certificates at the limit, and how many episodes a true one takes.

Simulates the whole gate (baseline, candidate and random policy are sampled each time). Prints three Markdown tables:

1. how often a candidate whose true retention is exactly ``keep`` is certified (nominal: at most 5 %), the worst over
   crash rates of 0.5 to 5 %, crash scores (the random policy's returns, 0.4 and 0.6 of the baseline) and episode
   numbers; beside it what other gates would have done: Student's interval alone, Student's with "and no crash in n",
   and the gate that bounds crash rate and crash-free retention apart;
2. the same when one looks after every tenth of the episodes and stops at the first certificate;
3. episodes that a right certificate takes: the number that ``plan_episodes`` says (α = 0.025, the share of a search's
   first candidate), and how often it was then enough; and how often the gate that bounds crashes separately
   certifies a policy as good as the baseline on 5000 episodes.

Distributions are synthetic ones and those of real agents (``benchmarks/data/returns.json``, made by
``benchmarks/record_returns.py``), resampled. Fails where a rate of false certificates exceeds the nominal one by more
than chance.

    python benchmarks/certification.py                    # all tables, most of an hour
    python benchmarks/certification.py --experiments 100  # coarser
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from policypress.measurement.statistics import t_quantile
from policypress.search.certification import CRASH_SCORE, certify, plan_episodes, rate_upper_bound, worst_score

Floats = npt.NDArray[np.float64]
KEEP, ALPHA = 0.95, 0.05
RATES = (0.005, 0.01, 0.02, 0.05)
COUNTS = (100, 200, 400)
LOOKS = 10
DATA = Path(__file__).parent / "data" / "returns.json"
GATES = ("Student alone", "Student, no crash in n", "crashes separate", "policypress")


@dataclass(frozen=True)
class World:
    """Where episodes come from: scores of the baseline and of random actions, resampled or drawn."""

    name: str
    baseline: Callable[[np.random.Generator, int], Floats]
    random: Callable[[np.random.Generator, int], Floats]

    def candidate(
        self, rng: np.random.Generator, count: int, retention: float, crash_rate: float, crash_score: float | None
    ) -> Floats:
        """Scores of a candidate that keeps ``retention`` on average: the baseline's, shifted, and some crashes."""
        mean_crash = 0.0 if crash_score is None else crash_score
        shift = (retention - crash_rate * mean_crash) / (1 - crash_rate) - 1
        scores = self.baseline(rng, count) + shift
        crashed = rng.random(count) < crash_rate
        crashes = self.random(rng, count) if crash_score is None else rng.normal(crash_score, 0.02, count)
        return np.where(crashed, crashes, scores)


def worlds() -> list[World]:
    """Synthetic ones, whose means are exactly 1 and 0, and the recorded agents', scaled so that they are."""
    drawn = [World(f"normal, s.d. {sd:.1%}", partial(_normal, sd), partial(_noise, 0.02)) for sd in (0.008, 0.05, 0.15)]
    drawn += [World(f"skewed, s.d. {sd:.0%}", partial(_skewed, sd), partial(_noise, 0.02)) for sd in (0.02, 0.1)]
    drawn += [World(f"fails half, {q:.1%}", partial(_failing, q), partial(_noise, 0.02)) for q in (0.005, 0.02, 0.1)]
    for name, entry in json.loads(DATA.read_text()).items():
        returns, random = np.array(entry["returns"]), np.array(entry["random"])
        gap = returns.mean() - random.mean()
        pool, floor = (returns - random.mean()) / gap, (random - random.mean()) / gap
        drawn.append(World(name, partial(_resampled, pool), partial(_resampled, floor)))
    return drawn


def _normal(sd: float, rng: np.random.Generator, count: int) -> Floats:
    return rng.normal(1.0, sd, count)


def _noise(sd: float, rng: np.random.Generator, count: int) -> Floats:
    return rng.normal(0.0, sd, count)


def _skewed(sd: float, rng: np.random.Generator, count: int) -> Floats:
    """A long tail below: 1 + s.d. times (0.25 − Gamma(0.25)) / 0.5, of mean 1."""
    return 1 + sd * (0.25 - rng.gamma(0.25, 1.0, count)) / 0.5


def _failing(rate: float, rng: np.random.Generator, count: int) -> Floats:
    """Episodes that break off a little above the half, which are no crashes by the definition."""
    failed = rng.random(count) < rate
    return 1 + 0.45 * rate - np.where(failed, 0.45, 0.0) + rng.normal(0, 0.008, count)


def _resampled(pool: Floats, rng: np.random.Generator, count: int) -> Floats:
    return rng.choice(pool, count)


def student(base: Floats, own: Floats, random: Floats, alpha: float) -> float:
    """Lower bound of the retention from normal theory: of v − t·b − (1 − t)·r, solved for t (Fieller)."""
    gap = base.mean() - random.mean()
    kept = (own.mean() - random.mean()) / gap
    squares = [
        t_quantile(1 - alpha, float(len(x) - 1)) ** 2 * float(x.var(ddof=1)) / len(x) / gap**2
        for x in (own, base, random)
    ]
    a, b = 1 - squares[1] - squares[2], kept - squares[2]
    c = kept**2 - squares[0] - squares[2]
    return -math.inf if a <= 0 else float((b - math.sqrt(max(b * b - a * c, 0.0))) / a)


def decisions(base: Floats, own: Floats, random: Floats, keep: float, alpha: float) -> tuple[bool, ...]:
    """What each of :data:`GATES` says."""
    scores = (own - random.mean()) / (base.mean() - random.mean())
    fine = scores >= CRASH_SCORE
    alone = student(base, own, random, alpha) >= keep
    apart = False
    if fine.sum() >= 2:
        rate = rate_upper_bound(int((~fine).sum()), len(own), alpha / 2)
        rest = student(base, own[fine], random, alpha / 2)
        apart = (1 - rate) * rest + rate * worst_score(base, own, random) >= keep
    ours = certify(base.tolist(), own.tolist(), random.tolist(), keep=keep, alpha=alpha).certified
    return alone, alone and bool(fine.all()), apart, ours


def false_rates(world: World, experiments: int, keep: float) -> tuple[str, list[float]]:
    """The worst rate of false certificates of each gate, over crashes and episode numbers."""
    rng = np.random.default_rng(1)
    rates = []
    for rate, score, count in scenarios():
        counted = np.zeros(len(GATES))
        for _ in range(experiments):
            own = world.candidate(rng, count, keep, rate, score)
            counted += decisions(world.baseline(rng, count), own, world.random(rng, count), keep, ALPHA)
        rates.append(counted / experiments)
    return world.name, [float(value) for value in np.max(rates, axis=0)]


def scenarios() -> Iterator[tuple[float, float | None, int]]:
    """Crash rate, crash score (None: as random actions), episodes."""
    for count in COUNTS:
        yield 0.0, None, count
        for rate in RATES:
            for score in (None, 0.4, 0.6):
                yield rate, score, count


def peeking_rate(world: World, experiments: int) -> tuple[str, float]:
    """False certificates where one looks :data:`LOOKS` times and stops at the first; the worst over crash rates."""
    rng = np.random.default_rng(2)
    found = []
    for rate in (0.0, 0.01, 0.05):
        count = 400
        passed = 0
        for _ in range(experiments):
            base, random = world.baseline(rng, count).tolist(), world.random(rng, count).tolist()
            own = world.candidate(rng, count, KEEP, rate, None).tolist()
            ends = range(count // LOOKS, count + 1, count // LOOKS)
            passed += any(certify(base, own[:end], random, keep=KEEP, alpha=ALPHA).certified for end in ends)
        found.append(passed / experiments)
    return world.name, max(found)


def effort(world: World, experiments: int) -> tuple[str, list[tuple[int | None, float]], float]:
    """For true retentions 1, 0.98 and 0.97: planned episodes, and the share of certificates there.

    The last number is the share of certificates that the gate that bounds crashes separately grants a policy
    as good as the baseline, on 5000 episodes.
    """
    rng = np.random.default_rng(3)
    row: list[tuple[int | None, float]] = []
    tries = max(experiments // 4, 20)
    for retention in (1.0, 0.98, 0.97):
        # The pilot has the true means, so that what is checked is the calculation.
        pilot = [
            (values - values.mean() + mean).tolist()
            for values, mean in (
                (world.baseline(rng, 300), 1.0),
                (world.candidate(rng, 300, retention, 0.0, None), retention),
                (world.random(rng, 300), 0.0),
            )
        ]
        plan = plan_episodes(*pilot, keep=KEEP, alpha=ALPHA / 2, limit=5000)
        count, passed = plan.episodes or 0, 0
        for _ in range(tries if count else 0):
            own = world.candidate(rng, count, retention, 0.0, None)
            base, random = world.baseline(rng, count), world.random(rng, count)
            passed += certify(base.tolist(), own.tolist(), random.tolist(), keep=KEEP, alpha=ALPHA / 2).certified
        row.append((plan.episodes, passed / tries))
    samples = [(world.baseline(rng, 5000), world.baseline(rng, 5000), world.random(rng, 5000)) for _ in range(20)]
    apart = sum(decisions(base, own, random, KEEP, ALPHA / 2)[2] for base, own, random in samples) / 20
    return world.name, row, apart


def main() -> None:
    """Simulate and print; fails where certificates are false too often."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--keep", type=float, default=KEEP)
    parser.add_argument("--tables", type=int, nargs="+", default=(1, 2, 3))
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    # The worst of many estimates, each with its own chance error.
    allowed = ALPHA + 4 * math.sqrt(ALPHA * (1 - ALPHA) / arguments.experiments)
    every, worst = worlds(), 0.0
    with ProcessPoolExecutor(arguments.jobs) as pool:
        if 1 in arguments.tables:
            print(f"| true retention {arguments.keep:g} | {' | '.join(GATES)} |\n|---|" + "---|" * len(GATES))
            simulate = partial(false_rates, experiments=arguments.experiments, keep=arguments.keep)
            for name, rates in pool.map(simulate, every):
                print(f"| {name} | {' | '.join(f'{rate:.1%}' for rate in rates)} |", flush=True)
                worst = max(worst, rates[-1])
        if 2 in arguments.tables:
            print("\n| checked ten times | certified |\n|---|---|")
            for name, rate in pool.map(partial(peeking_rate, experiments=arguments.experiments), every):
                print(f"| {name} | {rate:.1%} |", flush=True)
                worst = max(worst, rate)
        if 3 in arguments.tables:
            print("\n| true retention | 1 | 0.98 | 0.97 | 1, crashes separate, 5000 episodes |\n|---|---|---|---|---|")
            for name, row, apart in pool.map(partial(effort, experiments=arguments.experiments), every):
                cells = ["over 5000" if n is None else f"{n} ({share:.0%})" for n, share in row]
                print(f"| {name} | {' | '.join(cells)} | {apart:.0%} |", flush=True)
    if worst > allowed:
        sys.exit(f"false certificates: {worst:.1%}, nominal {ALPHA:.0%}")


if __name__ == "__main__":
    main()
