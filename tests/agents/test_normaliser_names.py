"""Which names go together."""

from __future__ import annotations

import pytest

from policypress.agents.normalisers.names import are_pair, contradict, is_part_of_a_run, says_normaliser, steps_of


@pytest.mark.parametrize(
    "name", ["vecnormalize.pkl", "vec_normalize_v13.pkl", "best_vecnorm.pkl", "Vec-Norm", "obs_rms.npz", "normalizer"]
)
def test_names_of_normalisers(name: str) -> None:
    assert says_normaliser(name)


@pytest.mark.parametrize("name", ["replay_buffer.pkl", "model.pkl", "normal.pkl", "vector.pkl", "evaluations.npz"])
def test_other_names(name: str) -> None:
    assert not says_normaliser(name)


@pytest.mark.parametrize(
    ("agent", "statistics"),
    [
        ("rl_model_1000_steps", "rl_model_vecnormalize_1000_steps"),
        ("best_model", "best_vecnorm"),
        ("model_v13", "vec_normalize_v13"),
        ("hopper", "Hopper-normalizer"),
        ("ppo_hopper", "vec_normalize_ppo_hopper"),
    ],
)
def test_pairs(agent: str, statistics: str) -> None:
    assert are_pair(agent, statistics)
    assert not contradict(agent, statistics)


@pytest.mark.parametrize(
    ("agent", "statistics"),
    [
        ("rl_model_1000_steps", "rl_model_vecnormalize_2000_steps"),
        ("final_model", "rl_model_vecnormalize_2000_steps"),
        ("best_model", "last_vecnorm"),
        ("ppo_v12", "vec_normalize_v13"),
    ],
)
def test_other_times(agent: str, statistics: str) -> None:
    assert contradict(agent, statistics)
    assert not are_pair(agent, statistics)


@pytest.mark.parametrize(
    ("agent", "statistics"), [("model", "vecnormalize"), ("Hopper-v4", "vec_normalize_v13"), ("td3", "vecnorm_2")]
)
def test_names_that_tell_nothing(agent: str, statistics: str) -> None:
    assert not contradict(agent, statistics)
    assert not are_pair(agent, statistics)


def test_steps() -> None:
    assert steps_of("rl_model_vecnormalize_120000_steps") == 120000
    assert steps_of("best_model") is None


def test_parts_of_a_run() -> None:
    assert all(map(is_part_of_a_run, ("best_model", "checkpoints", "models", "best-model", "Best")))
    assert not any(map(is_part_of_a_run, ("hopper", "agents", "Downloads", "model_hopper", "1")))
