"""The published files: complete, with a source, and every value can be used."""

from __future__ import annotations

import pytest

from policypress.agents.algorithm_names import NAMES, AlgorithmName
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import TrainingInputError
from policypress_train.algorithms import ALGORITHMS
from policypress_train.hyperparameters.defaults import STUDIES, entries, published
from policypress_train.hyperparameters.settings import check

MUJOCO = ("HalfCheetah", "Hopper", "Ant", "Humanoid", "HumanoidStandup")
NEEDED = {
    "dqn": ("CartPole", "LunarLander", "atari"),
    "ddpg": ("Pendulum", "LunarLanderContinuous", *MUJOCO),
    "td3": ("Pendulum", "LunarLanderContinuous", *MUJOCO),
    "sac": ("Pendulum", "LunarLanderContinuous", *MUJOCO),
    "ppo": ("CartPole", "Pendulum", "LunarLander", "LunarLanderContinuous", "atari", *MUJOCO),
    "trpo": ("CartPole", "Pendulum", "LunarLander", "LunarLanderContinuous", *MUJOCO),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_environment_of_the_study_has_its_values(name: AlgorithmName) -> None:
    assert set(NEEDED[name]) <= set(entries(name))


@pytest.mark.parametrize(("name", "entry"), [(name, entry) for name in NAMES for entry in entries(name)])
def test_every_value_can_be_used(name: AlgorithmName, entry: str) -> None:
    environment = {"atari": "PongNoFrameskip-v4", "default": "Nothing-v0"}.get(entry, f"{entry}-v1")
    found = published(name, EnvironmentSpec(environment))
    assert found.entry == entry
    assert found.steps >= 10_000
    assert "Zoo" in found.source
    check(ALGORITHMS[name], found.hyperparameters)


@pytest.mark.parametrize(
    ("spec", "entry"),
    [
        (EnvironmentSpec("HalfCheetah-v5"), "HalfCheetah"),
        (EnvironmentSpec("LunarLander-v3", (("continuous", True),)), "LunarLanderContinuous"),
        (EnvironmentSpec("LunarLander-v3"), "LunarLander"),
        (EnvironmentSpec("ALE/Pong-v5"), "atari"),
        (EnvironmentSpec("mine:HalfCheetah-v4"), "default"),
        (EnvironmentSpec("phys2d/CartPole-v1"), "default"),
        (EnvironmentSpec("no id"), "default"),
    ],
)
def test_the_entry_is_found_by_name(spec: EnvironmentSpec, entry: str) -> None:
    assert published("ppo", spec).entry == entry


LI = [("dqn", "CartPole", 200), ("dqn", "LunarLander", 700), ("ddpg", "Pendulum", 100)]


@pytest.mark.parametrize(("name", "environment", "episodes"), [*LI, ("ddpg", "LunarLanderContinuous", 300)])
def test_li_s_budgets_are_in_episodes(name: AlgorithmName, environment: str, episodes: int) -> None:
    found = published(name, EnvironmentSpec(f"{environment}-v0"), "li2023")
    assert (found.episodes, found.entry) == (episodes, environment)
    assert "Li 2023" in found.source
    check(ALGORITHMS[name], found.hyperparameters)


def test_a_publication_has_no_defaults() -> None:
    assert STUDIES == ("li2023",)
    atari = published("dqn", EnvironmentSpec("ALE/Freeway-v5"), "li2023")
    assert (atari.episodes, atari.hyperparameters["extractor"]) == (None, "mnih2013")
    check(ALGORITHMS["dqn"], atari.hyperparameters)
    with pytest.raises(TrainingInputError, match="CartPole, LunarLander, atari"):
        published("dqn", EnvironmentSpec("Acrobot-v1"), "li2023")
    with pytest.raises(TrainingInputError, match="no hyperparameters for sac"):
        published("sac", EnvironmentSpec("Pendulum-v1"), "li2023")
    with pytest.raises(TrainingInputError, match="zoo, li2023"):
        published("dqn", EnvironmentSpec("CartPole-v1"), "mnih")
