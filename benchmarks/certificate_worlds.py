"""Does a certificate say what is true? Simulated worlds where the true retention is exactly what has to be kept.

Prints three Markdown tables:

1. how often such a candidate is certified (5 % are allowed), looked at after every 20 of 1000 pairs of episodes and
   stopped at the first certificate: narrow, wide, skewed and 0/1 returns, crashes, failures too rare to be seen early,
   baselines with rare jackpots; on common seeds with several correlations, and as independent samples (there looked
   at after every 40 of 240, in a fifth of the experiments);
2. how often a whole search of six such candidates ends in a false certificate, 250 episodes for each, the limits
   declared from its race (70 episodes of each candidate and of the baseline, 100 of random actions);
3. pairs that a right certificate takes (80 % of the time, at an error of 2.5 %), for true retentions of 1 and 0.99,
   beside those that the same bets take if they do not know of pairs, and if their stakes are plugged in from the
   episodes before; limits declared from a race.

Fails where certificates are false more often than allowed by more than chance.

    python benchmarks/certificate_worlds.py                    # all, a quarter of an hour
    python benchmarks/certificate_worlds.py --experiments 100  # coarser
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from policypress.measurement.certificate.capital import INDEPENDENT, evidence, running_evidence
from policypress.measurement.certificate.error_budget import error_share
from policypress.measurement.certificate.limits import Limits, declared

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, float], tuple[Floats, Floats]]
KEEP, ALPHA, EVERY = 0.95, 0.05, 20
RANDOM_SD = 0.05
GRID = sorted({round(20 * 1.1**i) for i in range(60)})


@dataclass(frozen=True)
class World:
    """Scores of candidate and baseline (0: random, 1: the baseline) at a true retention; limits, where declared."""

    name: str
    draw: Draw
    limits: Limits | None = None

    def random(self, rng: np.random.Generator, count: int = 100) -> Floats:
        """Scores of random actions, of mean 0."""
        return rng.normal(0.0, RANDOM_SD, count)


def normal(sd: float, correlation: float) -> Draw:
    """Normal scores of one spread."""

    def draw(rng: np.random.Generator, count: int, kept: float) -> tuple[Floats, Floats]:
        own, base = rng.normal(size=(2, count))
        own = correlation * base + math.sqrt(1 - correlation**2) * own
        return kept + sd * own, 1 + sd * base

    return draw


def skewed(sd: float) -> Draw:
    """A long tail below, of both."""

    def draw(rng: np.random.Generator, count: int, kept: float) -> tuple[Floats, Floats]:
        tails = sd * (0.25 - rng.gamma(0.25, 1.0, (2, count))) / 0.5
        return kept + tails[0], 1 + tails[1]

    return draw


def solved_or_not(rate: float, *, same: bool) -> Draw:
    """Scores of 0 or 1/rate; with ``same`` the candidate fails where the baseline does, and now and then besides."""

    def draw(rng: np.random.Generator, count: int, kept: float) -> tuple[Floats, Floats]:
        base = rng.random(count) < rate
        own = base & (rng.random(count) < kept) if same else rng.random(count) < rate * kept
        return own / rate, base / rate

    return draw


def failing(rate: float, score: float) -> Draw:
    """A narrow baseline, and a candidate that loses what it loses in rare episodes of this score."""

    def draw(rng: np.random.Generator, count: int, kept: float) -> tuple[Floats, Floats]:
        fine = (kept - rate * score) / (1 - rate)
        own = np.where(rng.random(count) < rate, score, rng.normal(fine, 0.01, count))
        return own, rng.normal(1.0, 0.01, count)

    return draw


def jackpots(rate: float, score: float) -> Draw:
    """A baseline with rare episodes of this score, which the candidate does not have."""

    def draw(rng: np.random.Generator, count: int, kept: float) -> tuple[Floats, Floats]:
        plain = (1 - rate * score) / (1 - rate)
        base = np.where(rng.random(count) < rate, score, rng.normal(plain, 0.01, count))
        return rng.normal(kept, 0.01, count), base

    return draw


WIDE = Limits(-0.5, 2.5)
WORLDS = (
    World("normal, s.d. 1 %", normal(0.01, 0.0), Limits(-0.2, 1.2)),
    World("normal, s.d. 15 %", normal(0.15, 0.0), Limits(-0.2, 2.0)),
    World("normal, s.d. 15 %, correlation 0.8", normal(0.15, 0.8), Limits(-0.2, 2.0)),
    World("normal, s.d. 15 %, correlation -0.8", normal(0.15, -0.8), Limits(-0.2, 2.0)),
    World("normal, s.d. 40 %, correlation 0.95", normal(0.4, 0.95), Limits(-1.5, 3.5)),
    World("skewed, s.d. 2 %", skewed(0.02), Limits(-0.2, 1.2)),
    World("skewed, s.d. 10 %", skewed(0.1), Limits(-3.0, 1.2)),
    World("0/1, success 0.9, same outcomes", solved_or_not(0.9, same=True), Limits(-0.2, 1 / 0.9)),
    World("0/1, success 0.5, same outcomes", solved_or_not(0.5, same=True), Limits(-0.2, 2.0)),
    World("0/1, success 0.9, independent", solved_or_not(0.9, same=False), Limits(-0.2, 1 / 0.9)),
    World("crashes to 0, 2 %", failing(0.02, 0.0), Limits(-0.2, 1.2)),
    World("crashes to 0.5, 5 %", failing(0.05, 0.5), Limits(-0.2, 1.2)),
    World("failures at -0.5, 3.3 %", failing(1 / 30, -0.5), Limits(-0.5, 1.2)),
    World("failures at -1, 2.5 %", failing(0.025, -1.0), Limits(-1.0, 1.2)),
    World("failures at -3, 1.25 %", failing(0.0125, -3.0), Limits(-3.0, 1.2)),
    World("failures at -10, 0.45 %", failing(0.05 / 11, -10.0), Limits(-10.0, 1.2)),
    World("failures at -30, 0.16 %", failing(0.05 / 31, -30.0), Limits(-30.0, 1.2)),
    World("baseline's jackpots of 3, 2.6 %", jackpots(0.026, 3.0), Limits(-0.2, 3.0)),
    World("baseline's jackpots of 11, 0.5 %", jackpots(0.005, 11.0), Limits(-0.2, 11.0)),
)
POWER_WORLDS = (
    World("normal, s.d. 1 %, independent", normal(0.01, 0.0)),
    World("normal, s.d. 15 %, independent", normal(0.15, 0.0)),
    World("normal, s.d. 40 %, correlation 0.95", normal(0.4, 0.95)),
    World("0/1, success 0.9, same outcomes", solved_or_not(0.9, same=True), Limits(0.0, 1 / 0.9)),
    World("0/1, success 0.5, same outcomes", solved_or_not(0.5, same=True), Limits(0.0, 2.0)),
    World("0/1, success 0.9, independent", solved_or_not(0.9, same=False), Limits(0.0, 1 / 0.9)),
)


def first_certificate(earned: Floats, alpha: float) -> bool:
    """Whether one who looks at all of ``earned`` ever sees a certificate."""
    return bool((earned >= -math.log(alpha)).any())


def false_rate(world: World, experiments: int, episodes: int = 1000, seed: int = 1) -> float:
    """False certificates from pairs at the true retention :data:`KEEP`."""
    rng, found = np.random.default_rng(seed), 0
    assert world.limits is not None
    for _ in range(experiments):
        own, base = (world.limits.clip(values) for values in world.draw(rng, episodes, KEEP))
        floor = world.limits.clip(world.random(rng))
        found += first_certificate(running_evidence(own, base, floor, KEEP, world.limits, EVERY), ALPHA)
    return found / experiments


def false_rate_apart(world: World, experiments: int, episodes: int = 240, seed: int = 2) -> float:
    """The same from independent samples: the candidate's episodes are of another draw than the baseline's."""
    rng, found = np.random.default_rng(seed), 0
    assert world.limits is not None
    for _ in range(experiments):
        own, base = (world.limits.clip(world.draw(rng, episodes, KEEP)[part]) for part in (0, 1))
        floor = world.limits.clip(world.random(rng))
        looks = range(2 * EVERY, episodes + 1, 2 * EVERY)
        found += any(
            evidence(own[:n], base[:n], floor, KEEP, world.limits, INDEPENDENT) >= -math.log(ALPHA) for n in looks
        )
    return found / experiments


def false_search(score: float, rate: float, experiments: int, candidates: int = 6, episodes: int = 250) -> float:
    """Searches that end in a false certificate, the limits being declared from their race."""
    world, rng, found = World("", failing(rate, score)), np.random.default_rng(3), 0
    for _ in range(experiments):
        race = np.concatenate([np.concatenate(world.draw(rng, 70, KEEP)) for _ in range(candidates)])
        limits = declared(np.concatenate([race, world.random(rng)]))
        floor = limits.clip(world.random(rng))  # the same for all, as in a search
        for number in range(1, candidates + 1):
            own, base = (limits.clip(values) for values in world.draw(rng, episodes, KEEP))
            earned = running_evidence(own, base, floor, KEEP, limits, EVERY)
            if first_certificate(earned, error_share(1 - ALPHA, number)):
                found += 1
                break
    return found / experiments


def plugged_in(own: Floats, base: Floats, limits: Limits) -> Floats:
    """What bets on pairs earn whose stake is that which would have been best in the pairs before."""
    floor = limits.low - KEEP * limits.high
    gains = (own - KEEP * base - floor) / -floor - 1
    count = np.arange(len(gains))
    sums, squares = (np.concatenate([[0.0], np.cumsum(gains**power)[:-1]]) for power in (1, 2))
    stakes = np.clip(sums / np.maximum(squares + 0.0125, 1e-12), 0.0, 0.99)
    return np.asarray(np.cumsum(np.log1p(np.where(count < 10, 0.5, stakes) * gains)))


def episodes_needed(world: World, kept: float, experiments: int, most: int = 3000) -> tuple[int, int, int]:
    """Pairs that are enough in 80 % of experiments: by pairs, by independent samples, by plugged-in stakes."""
    rng = np.random.default_rng(4)
    paired, apart, plugged = [], [], []
    for index in range(experiments):
        race = np.concatenate([*world.draw(rng, 70, 1.0), *world.draw(rng, 70, 0.9), world.random(rng)])
        limits = world.limits or declared(race)
        own, base = (limits.clip(values) for values in world.draw(rng, most, kept))
        floor = limits.clip(world.random(rng))
        needed = -math.log(ALPHA / 2)
        paired.append(first_index(running_evidence(own, base, floor, KEEP, limits) >= needed))
        plugged.append(first_index(plugged_in(own, base, limits) >= needed))
        if index < experiments // 10:
            other = limits.clip(world.draw(rng, most, kept)[1])
            sizes = (n for n in GRID if n <= most)
            apart.append(
                next(
                    (n for n in sizes if evidence(own[:n], other[:n], floor, KEEP, limits, INDEPENDENT) >= needed), most
                )
            )
    return tuple(int(np.quantile(values, 0.8)) for values in (paired, apart, plugged))  # type: ignore[return-value]


def first_index(reached: npt.NDArray[np.bool_]) -> int:
    """How many episodes it took."""
    return int(np.argmax(reached)) + 1 if reached.any() else len(reached) + 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate and print; fails where certificates are false too often."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--tables", type=int, nargs="+", default=(1, 2, 3))
    asked = parser.parse_args(arguments)
    count, rates = asked.experiments, []
    if 1 in asked.tables:
        print("| true retention exactly 0.95 | false, pairs | false, independent samples |\n|---|---|---|")
        for world in WORLDS:
            paired, apart = false_rate(world, count), false_rate_apart(world, max(count // 5, 1))
            rates += [(paired, count), (apart, max(count // 5, 1))]
            print(f"| {world.name} | {paired:.1%} | {apart:.1%} |", flush=True)
    if 2 in asked.tables:
        print("\n| searches of six candidates whose failures score | end in a false certificate |\n|---|---|")
        for score, rate in ((-1.0, 0.025), (-3.0, 0.0125)):
            found = false_search(score, rate, count)
            rates.append((found, count))
            print(f"| {score:g}, in {rate:.3%} | {found:.1%} |", flush=True)
    if 3 in asked.tables:
        print("\n| episodes, at a true retention of 1 / 0.99 | pairs | independent samples | plug-in stakes |")
        print("|---|---|---|---|")
        for world in POWER_WORLDS:
            rows = [episodes_needed(world, kept, max(count // 4, 10)) for kept in (1.0, 0.99)]
            cells = " | ".join(f"{one} / {other}" for one, other in zip(*rows, strict=True))
            print(f"| {world.name} | {cells} |", flush=True)
    worst = max((rate - 4 * math.sqrt(ALPHA * (1 - ALPHA) / size) for rate, size in rates), default=0.0)
    if worst > ALPHA:
        sys.exit("certificates are false more often than 5 %, by more than chance")


if __name__ == "__main__":
    main()
