"""How the gate spends: pairs on common seeds, limits declared before them, an early end, a mild recipe's share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from policypress.compression.recipe import Recipe
from policypress.engine.cells.builder import CellBuilder
from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.store.store import Store
from policypress.engine.tasks.calibration import Calibration
from policypress.measurement.certificate.error_budget import error_share
from policypress.measurement.certificate.fall_rule import FallLimit, FallRule
from policypress.records import EpisodeRecord, EvaluationProtocol
from policypress.search import gate as gate_module
from policypress.search.gate import MILD_NUMBER, Gate
from policypress.search.racing import AcceptanceCriterion, Candidate, Race
from policypress.search.session import RANDOM, EpisodeRequest, Session
from policypress.search.time_budget import TimeBudget
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import StudyInputError

MARKED = True
GOOD, BAD, HELPLESS = (Recipe.parse(text) for text in ("int8", "prune(l2, 0.5)", "prune(l2, 0.9)"))


class Played(Session):
    """A session whose episodes are drawn, not played: the return depends on recipe and seed."""

    def play(self, plays: Any) -> dict[int, Any]:
        for play in plays:
            cell = self._noted(play)
            self._played[cell.key] = cell
            if not self.store.seeds(cell.key):
                self.store.plan([cell])
                self.store.record_episodes(cell.key, [drawn(play, seed) for seed in cell.seeds()], done=True)
        return {}


def drawn(play: EpisodeRequest, seed: int) -> EpisodeRecord:
    common = np.random.default_rng(seed).normal(0, 30)
    own = np.random.default_rng([seed, 1]).normal(0, 2)
    name = RANDOM if play.recipe is None else play.recipe.text
    mean = {RANDOM: 0.0, "none": 200.0, GOOD.text: 199.0, BAD.text: 186.0, HELPLESS.text: 100.0}[name]
    value = np.random.default_rng([seed, 2]).normal(0, 5) if play.recipe is None else mean + common + own
    fell = bool(seed % 2) if MARKED else None
    return EpisodeRecord(seed, float(value), 10, "truncated" if value > 120 else "terminated", 0.001, fell)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store(tmp_path / "study.db") as opened:
        yield opened


def started(store: Store, monkeypatch: pytest.MonkeyPatch, **criterion: Any) -> tuple[Gate, Race, Played]:
    monkeypatch.setattr(gate_module, "least_costs_s", lambda: 1.0)
    builder = CellBuilder.of_agent("a" * 64, EnvironmentSpec("CartPole-v1"), EvaluationProtocol(1, seed=0), 8)
    session = Played(Mock(spec=Calibration), builder, store, DebugExecutor())
    wanted = AcceptanceCriterion(0.95, 0.95, 1000, **criterion)
    race = Race(session, wanted)
    race.refused()
    return Gate(session, wanted, 6000, TimeBudget(6000.0)), race, session


def raced(race: Race, recipe: Recipe) -> Candidate:
    candidate = Candidate(recipe, stage="built")
    race.run([candidate])
    return candidate


def test_pairs_on_the_same_seeds_end_as_soon_as_it_is_certain(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, race, session = started(store, monkeypatch)
    attempt = gate.certify(raced(race, GOOD), race)
    assert attempt is not None
    found = attempt.certificate
    assert found.certified
    assert found.correlation is not None
    assert found.correlation > 0.95
    assert found.saved
    assert 80 < found.episodes == len(attempt.baseline_returns) < 1.5 * attempt.planned
    purposes = (row.cell for row in store.cells())
    mine = [c for c in purposes if c.protocol.purpose.startswith("certificate/1/") and c.kind != "random"]
    seeds = [{s for c in mine if c.recipe == name for s in store.seeds(c.key)} for name in (GOOD.text, "none")]
    assert seeds[0] == seeds[1]
    raced_seeds = {s for keys in session.cells.values() for key in keys for s in store.seeds(key)}
    assert not seeds[0] & raced_seeds


def test_limits_are_declared_before_and_kept_for_the_same_candidate(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, race, session = started(store, monkeypatch)
    seen = [*session.all_returns(), *(r for r in race.returns(GOOD, 0))]
    candidate = raced(race, GOOD)
    first = gate.certify(candidate, race)
    assert first is not None
    limits = first.certificate.limits
    assert limits is not None
    assert limits.low < min(seen)
    assert limits.low_from == "episodes"
    gate.certify(raced(race, BAD), race)  # more episodes are there now
    again = gate.certify(candidate, race)
    assert again is not None
    assert (again.certificate.limits, again.returns) == (limits, first.returns)
    stated, race, _ = started(store, monkeypatch, worst_return=-500.0, best_return=500.0)
    other = stated.certify(candidate, race)
    assert other is not None
    assert other.number > first.number, "another statement has seeds and error of its own"
    assert other.certificate.limits is not None
    assert (other.certificate.limits.low, other.certificate.limits.low_from) == (-500.0, "stated")


def test_a_number_is_kept_for_a_mild_recipe(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, race, _ = started(store, monkeypatch)
    assert [gate._number(Candidate(GOOD), mild=mild) for mild in (False, True)] == [1, 1]
    gate.certify(raced(race, BAD), race, mild=True)
    assert [gate._number(Candidate(GOOD), mild=mild) for mild in (False, True)] == [3, MILD_NUMBER]
    attempt = gate.certify(raced(race, GOOD), race, mild=True)
    assert attempt is not None
    assert attempt.certificate.certified
    assert attempt.certificate.alpha == pytest.approx(error_share(0.95, MILD_NUMBER))


def test_the_chance_of_a_certificate_falls_with_what_is_left(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, race, session = started(store, monkeypatch)
    good, helpless = raced(race, GOOD), raced(race, HELPLESS)
    assert gate.chance(good, race) > 0.95
    assert gate.chance(helpless, race) < 0.01
    gate.max_episodes = session.count() + 40
    assert gate.chance(good, race) < 0.05


def test_once_something_is_certified_nothing_is_kept_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, race, _ = started(store, monkeypatch)
    gate.keep_pairs(200, 300)
    gate.certify(raced(race, GOOD), race)
    assert gate._number(Candidate(BAD), mild=False) == 3
    gate.release()
    assert gate._number(Candidate(BAD), mild=False) == MILD_NUMBER
    assert (gate.mild_pairs, gate.kept_pairs) == (0, 0)
    gate._budget.total_s = 1e-9
    assert gate.pairs_left() == 0, "costs keep their time"


def test_all_certificates_count_the_same_random_actions_and_no_limit_depends_on_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, race, session = started(store, monkeypatch)
    first = gate.certify(raced(race, GOOD), race)
    seen = session.all_returns()
    second = gate.certify(raced(race, BAD), race, mild=True)
    assert first is not None
    assert second is not None
    assert (first.number, second.number) == (1, 2)
    assert [a.certificate.random_episodes for a in (first, second)] == [100, 100]
    random = [row.cell for row in store.cells(kind="random") if "certificate" in row.cell.protocol.purpose]
    assert len(random) == 1
    played = {row.episode_return for row in store.episodes(random[0].key)}
    assert not played & set(seen)


def test_what_surely_keeps_too_little_is_given_up_early(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, race, _ = started(store, monkeypatch)
    helpless = raced(race, HELPLESS)
    assert race.surely_loses(helpless)
    assert not race.surely_loses(raced(race, GOOD))
    assert gate.certify(helpless, race) is None
    assert "less than 0.95" in helpless.reason


def test_episodes_are_kept_for_the_mild_recipe(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, race, session = started(store, monkeypatch)
    assert gate.expected_pairs(race, 1) is not None
    assert gate.keep_pairs(200, 300) is None
    assert (gate.mild_pairs, gate.kept_pairs) == (300, 500)
    gate.max_episodes = session.count() + 1000
    assert gate.pairs_left(mild=True) == 500
    assert gate.pairs_left(mild=False) == 250
    few = gate.keep_pairs(200, 900)
    assert few is not None
    assert "would be enough" in few
    assert "--keep with a smaller share" in str(gate.keep_pairs(None, None))


def test_a_mild_recipe_has_its_pairs_though_the_time_is_over(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, race, _ = started(store, monkeypatch)
    candidate = raced(race, GOOD)
    gate.keep_pairs(*(gate.expected_pairs(race, number) for number in (1, MILD_NUMBER)))
    monkeypatch.setattr(gate, "_in_time", lambda: 0)
    assert gate.certify(candidate, race) is None
    assert "the time that is left allows no more" in candidate.reason
    attempt = gate.certify(candidate, race, mild=True)
    assert attempt is not None
    assert attempt.certificate.certified
    assert attempt.certificate.episodes <= 1.5 * gate.mild_pairs + 10


def test_the_number_of_episodes_that_is_named_is_enough(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, race, _ = started(store, monkeypatch)
    gate.max_episodes = 100
    mild = gate.expected_pairs(race, MILD_NUMBER)
    gate._criterion = AcceptanceCriterion(0.95, 0.95, 35)
    told = str(gate.keep_pairs(mild, mild))
    enough = int(told.split()[-4])
    larger, _, _ = started(store, monkeypatch)
    larger.max_episodes = enough
    larger._criterion = AcceptanceCriterion(0.95, 0.95, int(0.35 * enough) + 1)
    assert larger.keep_pairs(mild, mild) is None


def test_falls_are_those_that_the_environment_ended(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, race, _ = started(store, monkeypatch, fall_rule=FallRule.parse("terminated"), fall_limit=FallLimit(0.2))
    attempt = gate.certify(raced(race, GOOD), race)
    assert attempt is not None
    assert attempt.certificate.falls is not None
    assert attempt.certificate.falls.held is attempt.certificate.certified
    assert attempt.certificate.falls.rule == "the environment terminated the episode"


def test_falls_are_what_a_key_of_info_says(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, race, _ = started(
        store, monkeypatch, fall_rule=FallRule.parse("info:odd"), fall_limit=FallLimit(0.08, over_baseline=True)
    )
    attempt = gate.certify(raced(race, GOOD), race)
    assert attempt is not None
    falls = attempt.certificate.falls
    assert falls is not None
    assert falls.count == falls.baseline_count > 20, "both fall on the odd seeds"
    assert falls.held is True
    assert attempt.certificate.certified


def test_a_key_that_no_episode_has_is_no_rule(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "MARKED", False)
    with pytest.raises(StudyInputError, match="does not say which episodes are falls") as refused:
        started(store, monkeypatch, fall_rule=FallRule.parse("info:fallen"))
    assert "score<0.5" in str(refused.value.hint)


def test_a_candidate_whose_episodes_differ_is_not_certified_as_deterministic(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, race, _ = started(store, monkeypatch, deterministic=True)
    attempt = gate.certify(Candidate(GOOD, stage="promising"), race)
    assert attempt is not None
    assert attempt.certificate.verdict == "not certified"
    assert "looks at its seed" in attempt.certificate.reason
