"""``Policy`` against ``model.predict(deterministic=True)`` of models that Stable-Baselines3 itself built."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sb3_models import (
    ACTIONS,
    CONTINUOUS,
    DICTS,
    IMAGES,
    OBSERVATIONS,
    Configuration,
    SpacesEnvironment,
    assert_equal_actions,
    build_model,
    draw,
    save_and_read,
)
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

from policypress.agents.bundle import (
    Activation,
    AgentBundle,
    Extractor,
    Normaliser,
    OnnxNetwork,
    Provenance,
    Sb3Network,
)
from policypress.policy.importers.from_sb3 import from_bundle
from policypress_runtime.contract import Discrete, box
from policypress_runtime.errors import DamagedAgentError, NetworkError
from policypress_train.extractors import MnihCnn

ACTOR_CRITIC = ("A2C", "PPO", "TRPO")
VECTORS = tuple(name for name in OBSERVATIONS if name not in (*IMAGES, *DICTS))
ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.ELU, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.Mish, nn.PReLU, nn.Softplus, nn.Hardtanh)
ARCHITECTURES: tuple[Any, ...] = ([], [9], [8, 7], [6, 5, 7, 4])
SEPARATE = {"share_features_extractor": False}
SMALL_CNN = {"features_extractor_class": MnihCnn, "features_extractor_kwargs": {"features_dim": 32}}
NATURE = {"features_extractor_kwargs": {"features_dim": 16}}
NATURE_IN_DICT = {"features_extractor_kwargs": {"cnn_output_dim": 16}}


def actions_of(algorithm: str) -> tuple[str, ...]:
    if algorithm in ("DQN", "QRDQN"):
        return ("discrete", "pair")
    if algorithm in ("DDPG", "TD3", "SAC", "TQC", "CrossQ"):
        return CONTINUOUS
    if algorithm == "ARS":
        return (*CONTINUOUS, "discrete")
    if algorithm == "MaskablePPO":
        return ("discrete", "pair", "multi_discrete", "multi_binary")
    return tuple(ACTIONS)


ALGORITHMS = (*ACTOR_CRITIC, "MaskablePPO", "DQN", "QRDQN", "ARS", "DDPG", "TD3", "SAC", "TQC", "CrossQ")
WITH_IMAGES = tuple(a for a in ALGORITHMS if a not in ("ARS", "CrossQ"))


def together(first: Sequence[Any], second: Sequence[Any], turn: int) -> list[tuple[Any, Any]]:
    """Each of ``first`` and each of ``second`` at least once; ``turn`` decides which of them meet."""
    count = max(len(first), len(second))
    return [(first[i % len(first)], second[(i + turn) % len(second)]) for i in range(count)]


def sweep() -> list[Configuration]:
    """Every algorithm with every policy, observation and action it supports, and every option on its own.

    Observations are read before actions are made, so that not every pair of them is tried with every algorithm: which
    meet changes from one algorithm to the next, and any may meet in :func:`test_any_configuration_with_any_weights`.
    Every activation stands in every architecture of some algorithm.
    """
    found: list[Configuration] = []
    for turn, algorithm in enumerate(ALGORITHMS):
        for action, observation in together(actions_of(algorithm), VECTORS, turn):
            found.append(Configuration(algorithm, "MlpPolicy", observation, action))
        for place, arch in enumerate(ARCHITECTURES):
            kwargs = {"net_arch": arch, "activation_fn": ACTIVATIONS[(turn + 3 * place) % len(ACTIVATIONS)]}
            found.append(Configuration(algorithm, "MlpPolicy", "vector", actions_of(algorithm)[0], kwargs))
    for action, observation in together(actions_of("ARS"), VECTORS, 1):
        found.append(Configuration("ARS", "LinearPolicy", observation, action))
    images: list[tuple[str, str, dict[str, Any]]] = [
        ("CnnPolicy", "image", NATURE),
        ("CnnPolicy", "gray", NATURE),
        ("CnnPolicy", "small_image", SMALL_CNN),
        *(("MultiInputPolicy", kind, NATURE_IN_DICT) for kind in DICTS),
    ]
    for turn, algorithm in enumerate(WITH_IMAGES):
        for action, (kind, observation, how) in together(actions_of(algorithm), images, turn):
            found.append(Configuration(algorithm, kind, observation, action, how))
        plain = {**NATURE_IN_DICT, "normalize_images": False}
        found.append(Configuration(algorithm, "MultiInputPolicy", "dict", actions_of(algorithm)[-1], plain))
        found.append(Configuration(algorithm, "CnnPolicy", "channel_first", actions_of(algorithm)[0], NATURE))
    return found + options()


def options() -> list[Configuration]:
    """State-dependent exploration, squashing, separate extractors, separate layers, scaled images."""
    found: list[Configuration] = []
    for algorithm, action in itertools.product(("A2C", "PPO"), CONTINUOUS):
        found.append(Configuration(algorithm, "MlpPolicy", "vector", action, {}, use_sde=True))
        squash: dict[str, Any] = {"squash_output": True}
        found.append(Configuration(algorithm, "MlpPolicy", "vector", action, squash, use_sde=True))
    for algorithm, action in itertools.product(("SAC", "TQC", "CrossQ"), CONTINUOUS):
        clipped: dict[str, Any] = {"clip_mean": 0.4, "use_expln": True}
        found.append(Configuration(algorithm, "MlpPolicy", "vector", action, {}, use_sde=True))
        found.append(Configuration(algorithm, "MlpPolicy", "vector", action, clipped, use_sde=True))
    for algorithm in (*ACTOR_CRITIC, "MaskablePPO"):
        action = actions_of(algorithm)[-1]
        two = {"net_arch": {"pi": [5], "vf": [9, 6]}}
        found.append(Configuration(algorithm, "MlpPolicy", "matrix", action, two))
        found.append(Configuration(algorithm, "MlpPolicy", "matrix", action, {"net_arch": {"pi": [], "vf": [3]}}))
        found.append(Configuration(algorithm, "CnnPolicy", "image", action, {**NATURE, **SEPARATE}))
        found.append(Configuration(algorithm, "MultiInputPolicy", "dict", action, {**NATURE_IN_DICT, **SEPARATE}))
    for algorithm in ("SAC", "TD3", "DDPG", "TQC"):
        shared = {**NATURE, "share_features_extractor": True}
        found.append(Configuration(algorithm, "CnnPolicy", "image", "uneven", shared))
        found.append(Configuration(algorithm, "MlpPolicy", "vector", "uneven", {"net_arch": {"pi": [6], "qf": [3]}}))
    ready = {"features_extractor_kwargs": {"features_dim": 16, "normalized_image": True}, "normalize_images": False}
    found.append(Configuration("PPO", "CnnPolicy", "scaled_image", "discrete", ready))
    found.append(Configuration("ARS", "MlpPolicy", "vector", "uneven", {"squash_output": False}))
    found.append(Configuration("QRDQN", "MlpPolicy", "vector", "discrete", {"n_quantiles": 7}))
    found.append(Configuration("QRDQN", "MlpPolicy", "vector", "discrete", {"n_quantiles": 1, "net_arch": []}))
    found.append(Configuration("TD3", "MlpPolicy", "vector", "unit", {"n_critics": 1}))
    return found


SWEEP = sweep()
# One of everything that can go wrong on its own; the sweep has the combinations.
QUICK = [
    *(Configuration(a, "MlpPolicy", "vector", actions_of(a)[0]) for a in ALGORITHMS),
    *(Configuration("PPO", "MlpPolicy", o, a) for o, a in zip(VECTORS, ACTIONS, strict=False)),
    *(Configuration("MaskablePPO", "MlpPolicy", "vector", a) for a in ("multi_discrete", "multi_binary")),
    *(Configuration("SAC", "MlpPolicy", "vector", a) for a in ("large", "matrix", "double")),
    Configuration("ARS", "LinearPolicy", "vector", "uneven"),
    Configuration("ARS", "LinearPolicy", "vector", "discrete"),
    Configuration("PPO", "CnnPolicy", "image", "discrete", NATURE),
    Configuration("DQN", "CnnPolicy", "small_image", "discrete", SMALL_CNN),
    Configuration("TD3", "MultiInputPolicy", "dict", "large", NATURE_IN_DICT),
    Configuration("QRDQN", "MultiInputPolicy", "dict_of_all", "discrete", NATURE_IN_DICT),
    *(c for c in options() if c.policy == "MlpPolicy" and c.action not in ("unit", "double", "matrix")),
]


def check_equal_to_predict(configuration: Configuration, seed: int, folder: Path, count: int = 40) -> None:
    """Build, save, read, and compare on random observations."""
    model = build_model(configuration, seed)
    policy = save_and_read(model, folder / "model.zip")
    observations = draw(model.observation_space, count, np.random.default_rng(seed))
    want, _ = model.predict(observations, deterministic=True)
    assert_equal_actions(policy, observations, np.asarray(want))


@pytest.mark.parametrize("configuration", QUICK, ids=str)
def test_policy_equals_predict(configuration: Configuration, tmp_path: Path) -> None:
    check_equal_to_predict(configuration, 1, tmp_path)


# Every pair of spaces, of which the sweep takes some.
MLP = [
    *(c for c in SWEEP if c.policy in ("MlpPolicy", "LinearPolicy")),
    *(Configuration(a, "MlpPolicy", o, x) for a in ALGORITHMS for x, o in itertools.product(actions_of(a), VECTORS)),
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(configuration=st.sampled_from(MLP), seed=st.integers(0, 2**31 - 1))
def test_any_configuration_with_any_weights(configuration: Configuration, seed: int, tmp_path: Path) -> None:
    check_equal_to_predict(configuration, seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("configuration", SWEEP, ids=str)
def test_every_configuration(configuration: Configuration, tmp_path: Path) -> None:
    check_equal_to_predict(configuration, 2, tmp_path)


@pytest.mark.parametrize(
    ("configuration", "keys"),
    [
        (Configuration("A2C", "CnnPolicy", "image", "discrete", NATURE), ("",)),
        (Configuration("SAC", "CnnPolicy", "small_image", "uneven", SMALL_CNN), ("",)),
        (Configuration("TD3", "MultiInputPolicy", "dict", "unit", NATURE_IN_DICT), ("camera",)),
        (Configuration("PPO", "MultiInputPolicy", "dict_of_all", "multi_discrete", NATURE_IN_DICT), ("left", "right")),
    ],
    ids=str,
)
def test_images_as_the_environment_gives_them(
    configuration: Configuration, keys: tuple[str, ...], tmp_path: Path
) -> None:
    """Channel-last observations: Stable-Baselines3 transposes by itself, the policy in its graph."""
    model = build_model(configuration)
    policy = save_and_read(model, tmp_path / "model.zip", transposed=keys)
    space = OBSERVATIONS[configuration.observation]
    observations = draw(space, 20, np.random.default_rng(0))
    want, _ = model.predict(observations, deterministic=True)
    assert_equal_actions(policy, observations, np.asarray(want))
    assert "transpose_image" in policy.folded()
    assert "scale_image" in policy.folded()


NORMALISED = [
    Configuration("PPO", "MlpPolicy", "double", "uneven"),
    Configuration("TRPO", "MlpPolicy", "matrix", "multi_discrete"),
    Configuration("SAC", "MlpPolicy", "vector", "matrix"),
    Configuration("ARS", "LinearPolicy", "double", "unit"),
    Configuration("TD3", "MultiInputPolicy", "dict_of_vectors", "uneven"),
]


def normalising(
    configuration: Configuration, rng: np.random.Generator, **settings: Any
) -> tuple[VecNormalize, dict[str, Any]]:
    """Random statistics, some of them with a mean that is 10⁵ times the standard deviation; ranges to draw from."""
    environment = DummyVecEnv(
        [lambda: SpacesEnvironment(OBSERVATIONS[configuration.observation], ACTIONS[configuration.action])]
    )
    made = VecNormalize(environment, training=False, **settings)
    statistics = made.obs_rms if isinstance(made.obs_rms, dict) else {"": made.obs_rms}
    ranges: dict[str, Any] = {}
    for key, one in statistics.items():
        one.mean = rng.normal(size=one.mean.shape) * 10.0 ** rng.integers(-2, 4, one.mean.shape)
        std = (np.abs(one.mean) + 1e-3) * 10.0 ** -rng.uniform(0, 5, one.mean.shape)
        one.var = std**2
        ranges[key] = (one.mean, std)
    return made, ranges


def around(ranges: dict[str, Any], space: Any, count: int, rng: np.random.Generator) -> Any:
    """Observations near the statistics, some beyond the clip; as the environment gives them, rounded to float32."""

    def one(key: str, part: Any) -> np.ndarray[Any, Any]:
        mean, std = ranges[key]
        values = mean + std * rng.standard_t(3, (count, *mean.shape)) * 2
        return values.astype(np.float32).astype(part.dtype)

    return {key: one(key, part) for key, part in space.items()} if "" not in ranges else one("", space)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8)
@given(seed=st.integers(0, 2**31 - 1), clip=st.sampled_from([1.0, 10.0, np.inf]), epsilon=st.sampled_from([1e-8, 1e-2]))
@pytest.mark.parametrize("configuration", NORMALISED, ids=str)
def test_normalised_observations(
    configuration: Configuration, seed: int, clip: float, epsilon: float, tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    model = build_model(configuration, seed)
    vec, ranges = normalising(configuration, rng, clip_obs=clip, epsilon=epsilon)
    vec.save(str(tmp_path / "vecnormalize.pkl"))
    policy = save_and_read(model, tmp_path / "model.zip")
    observations = around(ranges, OBSERVATIONS[configuration.observation], 40, rng)
    want, _ = model.predict(vec.normalize_obs(observations), deterministic=True)
    assert policy.folded()[0] == "normalise"
    assert_equal_actions(policy, observations, np.asarray(want))


def test_only_the_keys_that_are_normalised(tmp_path: Path) -> None:
    configuration = Configuration("SAC", "MultiInputPolicy", "dict", "uneven", NATURE_IN_DICT)
    rng = np.random.default_rng(0)
    model = build_model(configuration)
    vec, ranges = normalising(configuration, rng, norm_obs_keys=["vector"])
    vec.save(str(tmp_path / "vecnormalize.pkl"))
    policy = save_and_read(model, tmp_path / "model.zip", transposed=("camera",))
    observations = draw(OBSERVATIONS["dict"], 30, rng)
    observations["vector"] = around(ranges, {"vector": OBSERVATIONS["dict"]["vector"]}, 30, rng)["vector"]
    want, _ = model.predict(vec.normalize_obs(observations), deterministic=True)
    assert_equal_actions(policy, observations, np.asarray(want))


@pytest.mark.parametrize("transposed", [(), ("",)], ids=["network's layout", "environment's layout"])
def test_normalised_images(transposed: tuple[str, ...], tmp_path: Path) -> None:
    """Statistics have the environment's layout on disk; the image is normalised in either layout."""
    configuration = Configuration("PPO", "CnnPolicy", "image", "discrete", NATURE)
    rng = np.random.default_rng(0)
    model = build_model(configuration)
    vec, _ = normalising(configuration, rng)
    vec.obs_rms.mean = rng.uniform(0, 255, vec.obs_rms.mean.shape)
    vec.obs_rms.var = rng.uniform(1, 5000, vec.obs_rms.mean.shape)
    vec.save(str(tmp_path / "vecnormalize.pkl"))
    policy = save_and_read(model, tmp_path / "model.zip", transposed=transposed)
    images = draw(OBSERVATIONS["image"], 20, rng)
    want, _ = model.predict(np.moveaxis(vec.normalize_obs(images), -1, 1), deterministic=True)
    assert_equal_actions(policy, images if transposed else np.moveaxis(images, -1, 1), np.asarray(want))


def test_actions_count_from_zero_as_in_predict(tmp_path: Path) -> None:
    """Stable-Baselines3 ignores a Discrete space's start, in training and in predict: so does its policy."""
    configuration = Configuration("PPO", "MlpPolicy", "vector", "from_three")
    check_equal_to_predict(configuration, 0, tmp_path)
    policy = save_and_read(build_model(configuration), tmp_path / "model.zip")
    assert policy.action_space == Discrete(4, 3)


def test_equal_to_predict_on_one_observation(tmp_path: Path) -> None:
    model = build_model(Configuration("SAC", "MlpPolicy", "vector", "uneven"))
    policy = save_and_read(model, tmp_path / "model.zip")
    observation = draw(model.observation_space, 1, np.random.default_rng(0))
    want, _ = model.predict(observation[0], deterministic=True)
    assert_equal_actions(policy, observation, np.asarray(want)[None])


def test_tensors_that_do_not_fit_are_damage() -> None:
    bundle = AgentBundle(
        network=Sb3Network(
            "td3",
            {"actor.mu.0.weight": np.zeros((3, 4), np.float32), "actor.mu.0.bias": np.zeros(3, np.float32)},
            Activation("relu"),
            Extractor("flatten"),
            squash_output=True,
        ),
        observation_space=box((4,), "float32", -1, 1),
        action_space=box((2,), "float32", -1, 1),
        provenance=Provenance("test", ""),
    )
    with pytest.raises(DamagedAgentError, match="last layer does not fit"):
        from_bundle(bundle)
    normaliser = Normaliser(np.zeros(5), np.ones(5), 1e-8, 10.0)
    fitting = replace(bundle, action_space=box((3,), "float32", -1, 1))
    assert from_bundle(fitting).parameter_count() == 15
    with pytest.raises(NetworkError, match="statistics"):
        from_bundle(replace(fitting, normaliser={"": normaliser}))
    with pytest.raises(NetworkError, match="did not come from Stable-Baselines3"):
        from_bundle(replace(fitting, network=OnnxNetwork(b"")))
    assert isinstance(fitting.network, Sb3Network)
    quantiles = replace(fitting.network, algorithm="qrdqn", n_quantiles=2)
    moved = {name.replace("actor.mu", "quantile_net.quantile_net"): t for name, t in quantiles.state.items()}
    with pytest.raises(DamagedAgentError, match="quantile layer"):
        from_bundle(replace(fitting, network=replace(quantiles, state=moved), action_space=Discrete(4)))
