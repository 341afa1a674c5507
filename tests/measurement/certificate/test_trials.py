"""``policypress.certify``: certificates from any episodes, and that they stay valid as more come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import policypress
from policypress.measurement.certificate.episode_files import Episodes
from policypress.measurement.certificate.trials import CertifyOptions, certify, certify_together
from policypress_runtime.errors import EpisodeFileError, StudyInputError

RNG = np.random.default_rng(0)
BASE = RNG.normal(100, 10, 220)
OWN = BASE - 0.5 + RNG.normal(0, 2, 220)
FLOOR = RNG.normal(-50, 20, 120)
SEEDS = tuple(range(220))


def episodes(values: np.ndarray, *, seeds: bool = True, **flags: tuple[bool, ...]) -> Episodes:  # type: ignore[type-arg]
    return Episodes(tuple(values.tolist()), SEEDS[: len(values)] if seeds else None, dict(flags))


def test_files_and_returns_say_the_same(tmp_path: Path) -> None:
    paths = {}
    for name, values in (("base", BASE), ("own", OWN), ("floor", FLOOR)):
        paths[name] = tmp_path / f"{name}.csv"
        rows = "".join(f"{seed + 1000 * (name == 'floor')},{value!r}\n" for seed, value in enumerate(values.tolist()))
        paths[name].write_text("seed,return\n" + rows)
    found = policypress.certify(paths["base"], str(paths["own"]), paths["floor"])
    assert found.certified
    assert found.rule == "pairs"
    assert (found.episodes, found.random_episodes) == (200, 100)
    assert found.limits is not None
    assert found.limits.low_from == "episodes"
    same = certify(episodes(BASE), episodes(OWN), FLOOR.tolist())
    assert same.lower == pytest.approx(found.lower)


def test_the_first_episodes_declare_the_limits_and_certify_nothing() -> None:
    early, late = OWN.copy(), OWN.copy()
    early[3], late[100] = -1e4, -1e4
    assert certify(episodes(BASE), episodes(early), FLOOR).limits.low < -1e4  # type: ignore[union-attr]
    found = certify(episodes(BASE), episodes(late), FLOOR)
    assert found.outside[0] == 1
    stated = certify(episodes(BASE), episodes(OWN), FLOOR, worst_return=-200, best_return=200)
    assert stated.episodes == 220


def test_without_seeds_samples_are_independent_and_rows_may_be_said_to_belong_together() -> None:
    apart = certify(BASE, OWN, FLOOR)
    rows = certify(BASE, OWN, FLOOR, pairing="rows")
    assert (apart.rule, rows.rule) == ("independent", "pairs")
    assert rows.lower is not None
    assert apart.lower is not None
    assert rows.lower > apart.lower


def test_random_actions_on_the_same_seeds_are_weaker_evidence() -> None:
    own_seeds = certify(episodes(BASE), episodes(OWN), FLOOR)
    same_seeds = certify(episodes(BASE), episodes(OWN), episodes(FLOOR))
    assert same_seeds.evidence is not None
    assert own_seeds.evidence is not None
    assert same_seeds.evidence < own_seeds.evidence
    assert same_seeds.certified


def test_falls_are_asked_of_the_files() -> None:
    fell = tuple(index % 100 == 30 for index in range(220))
    own, base = episodes(OWN, fell=fell), episodes(BASE, fell=(False,) * 220)
    kept = certify(base, own, FLOOR, max_falls=0.1, falls="info:fell")
    lost = certify(base, own, FLOOR, max_falls=0.02, falls="info:fell")
    assert (kept.verdict, lost.verdict) == ("certified", "not certified")
    assert kept.falls is not None
    assert kept.falls.count == 2
    with pytest.raises(StudyInputError, match="does not say which episodes were falls"):
        certify(base, own, FLOOR, max_falls=0.1)
    scored = certify(base, own, FLOOR, max_falls=0.1, falls="score<0.5", worst_return=-200, best_return=200)
    assert scored.episodes == 200
    assert scored.falls is not None
    assert scored.falls.held


def test_several_candidates_hold_together() -> None:
    options = CertifyOptions(keep=0.9, worst_return=-200, best_return=200)
    found = certify_together(
        episodes(BASE), {"good": episodes(OWN), "bad": episodes(OWN - 30)}, FLOOR.tolist(), options
    )
    assert {name: one.certified for name, one in found.items()} == {"good": True, "bad": False}
    assert found["good"].alpha == pytest.approx(0.025)
    assert found["bad"].alpha == pytest.approx(0.05)


def test_too_few_episodes_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EpisodeFileError, match="--worst-return and --best-return"):
        certify([1.0] * 15, [1.0] * 15)
    assert certify([1.0] * 15, [1.0] * 15, worst_return=0, best_return=2).verdict == "not certified"
    with pytest.raises(EpisodeFileError, match="too few"):
        certify([1.0], [1.0], worst_return=0, best_return=2)
    with pytest.raises(EpisodeFileError, match="no list of numbers"):
        certify(["a"], [1.0])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "changes",
    [
        {"keep": 1.0},
        {"confidence": 0.0},
        {"max_falls": 2.0},
        {"falls": "often"},
        {"pairing": "dates"},
        {"pilot_episodes": 1},
        {"worst_return": 2.0, "best_return": 1.0},
    ],
)
def test_options_that_cannot_be(changes: dict[str, object]) -> None:
    with pytest.raises(StudyInputError):
        CertifyOptions(**changes)  # type: ignore[arg-type]


def test_a_baseline_without_return_is_refused_not_certified() -> None:
    found = certify([-5.0, -6.0] * 50, [-5.0, -6.0] * 50)
    assert found.verdict == "refused"
    assert "without random actions" in found.reason
    assert certify([-5.0, -6.0] * 90, [-5.0, -6.0] * 90, [-50.0, -60.0] * 60).certified
