"""Which episodes of candidate and baseline belong together: those on one seed, those of one row, or none."""

from __future__ import annotations

from typing import Literal

from policypress.measurement.certificate.episode_files import Episodes
from policypress_runtime.errors import EpisodeFileError

Pairing = Literal["seeds", "rows", "none"]
PAIRINGS: tuple[Pairing, ...] = ("seeds", "rows", "none")
_BOTH_WAYS = (
    "Play both policies on the same seeds. If no seed is in both files, say --pairing none; if the rows belong "
    "together in their order, leave the seeds out and say --pairing rows."
)


def matched(baseline: Episodes, candidate: Episodes, pairing: Pairing) -> tuple[Episodes, Episodes, bool]:
    """Both, so that the i-th episodes form a pair where the last value says that they are paired.

    Raises:
        EpisodeFileError: they do not fit each other.
    """
    if pairing == "rows":
        return *_by_rows(baseline, candidate), True
    if pairing == "none":
        return *_apart(baseline, candidate), False
    if baseline.seeds is None and candidate.seeds is None:
        return baseline, candidate, False
    if baseline.seeds is None or candidate.seeds is None:
        bare = baseline if baseline.seeds is None else candidate
        raise EpisodeFileError(
            "Only one of the two files says its seeds.",
            got=f"no column seed in {bare.source}",
            expected="seeds in both, or in neither",
            hint="Add the column, or leave it out of both if the seeds are independent.",
        )
    return *_by_seeds(baseline, baseline.seeds, candidate, candidate.seeds), True


def _by_seeds(
    baseline: Episodes, seeds: tuple[int, ...], candidate: Episodes, own_seeds: tuple[int, ...]
) -> tuple[Episodes, Episodes]:
    """The episodes on common seeds, in the baseline's order: the first of both, so that none is left out in between."""
    count = min(len(seeds), len(own_seeds))
    where = {seed: index for index, seed in enumerate(own_seeds[:count])}
    alone = [seed for seed in seeds[:count] if seed not in where]
    if alone:
        raise EpisodeFileError(
            "Candidate and baseline were not played on the same seeds.",
            got=f"{len(alone)} of the first {count} seeds of {baseline.source} are not among those of "
            f"{candidate.source}, such as {alone[0]}",
            expected="the same seeds; the longer file may go on after them",
            hint="An episode that is missing may be one that failed. " + _BOTH_WAYS,
        )
    return baseline.first(count), candidate.at([where[seed] for seed in seeds[:count]])


def _by_rows(baseline: Episodes, candidate: Episodes) -> tuple[Episodes, Episodes]:
    if len(baseline.returns) != len(candidate.returns):
        raise EpisodeFileError(
            "Rows that belong together are as many in both files.",
            got=f"{len(baseline.returns)} in {baseline.source} and {len(candidate.returns)} in {candidate.source}",
            expected="as many of both",
        )
    if baseline.seeds is not None and candidate.seeds is not None and baseline.seeds != candidate.seeds:
        raise EpisodeFileError(
            "Rows that should belong together have different seeds.",
            got=f"other seeds in {candidate.source} than in {baseline.source}",
            expected="the same seed in the same row",
            hint="Leave --pairing out: episodes are then paired by their seeds.",
        )
    return baseline, candidate


def _apart(baseline: Episodes, candidate: Episodes) -> tuple[Episodes, Episodes]:
    common = set(baseline.seeds or ()) & set(candidate.seeds or ())
    if common:
        raise EpisodeFileError(
            "Episodes on the same seeds are not independent.",
            got=f"{len(common)} seeds in both {baseline.source} and {candidate.source}, such as {min(common)}",
            expected="no seed in both",
            hint="Leave --pairing out: episodes on the same seed then form a pair, which takes fewer of them.",
        )
    return baseline, candidate


def without_common_seeds(random: Episodes | None, *others: Episodes) -> bool:
    """Whether random actions have seeds of their own, or at least nothing says otherwise."""
    if random is None or random.seeds is None:
        return True
    mine = set(random.seeds)
    return not any(mine & set(other.seeds or ()) for other in others)
