from __future__ import annotations

import shlex

import numpy as np
import pytest

from policypress.environments.fit import Fit, check_fit, compare, fitting_variants, resolve_for_agent, spaces_of
from policypress.environments.trust import user_environment
from policypress_runtime.contract import Box, DictSpace, Discrete, EnvironmentSpec, MultiBinary, Space, WrapperSpec, box
from policypress_runtime.errors import EnvironmentInputError, SpaceMismatchError, UnknownEnvironmentError


def vector(size: int, timed: bool = False) -> Box:
    low, high = np.full(size, -np.inf), np.full(size, np.inf)
    if timed:
        low[-1], high[-1] = 0.0, 1.0
    return box((size,), "float32", low, high)


def actions(size: int, bound: float = 1.0) -> Box:
    return box((size,), "float32", -bound, bound)


IMAGE_LAST = box((84, 84, 4), "uint8", 0, 255)
IMAGE_FIRST = box((4, 84, 84), "uint8", 0, 255)
TWO = Discrete(2)


def test_channel_last_images_are_transposed() -> None:
    assert compare(IMAGE_LAST, TWO, IMAGE_FIRST, TWO) == Fit(("",))
    assert compare(IMAGE_FIRST, TWO, IMAGE_FIRST, TWO) == Fit()
    assert Fit(("",)).transpose_image
    assert not Fit().transpose_image


def test_images_inside_a_dict_are_transposed_by_key() -> None:
    env = DictSpace((("state", vector(3)), ("camera", IMAGE_LAST)))
    agent = DictSpace((("camera", IMAGE_FIRST), ("state", vector(3))))
    assert compare(env, TWO, agent, TWO) == Fit(("camera",))


@pytest.mark.parametrize(
    ("env", "agent"),
    [
        (vector(3), vector(4)),
        (vector(3), Discrete(3)),
        (Discrete(3), Discrete(4)),
        (Discrete(3), Discrete(3, start=1)),
        (box((84, 84, 4), "float32", 0, 1), IMAGE_FIRST),
        (IMAGE_LAST, box((3, 84, 84), "uint8", 0, 255)),
        (DictSpace((("a", vector(3)),)), vector(3)),
        (DictSpace((("a", vector(3)),)), DictSpace((("b", vector(3)),))),
        (DictSpace((("a", vector(3)),)), DictSpace((("a", vector(4)),))),
        (MultiBinary(3), MultiBinary(4)),
    ],
    ids=str,
)
def test_other_observations_do_not_fit(env: Space, agent: Space) -> None:
    assert isinstance(compare(env, TWO, agent, TWO), str)


def test_other_action_bounds_are_a_notice_and_other_shapes_are_not() -> None:
    fit = compare(vector(3), actions(1, 2.0), vector(3), actions(1, 1.0))
    assert isinstance(fit, Fit)
    assert len(fit.notices) == 1
    assert compare(vector(3), actions(1), vector(3), actions(1)) == Fit()
    assert isinstance(compare(vector(3), actions(1), vector(3), actions(2)), str)
    assert isinstance(compare(vector(3), actions(1), vector(3), TWO), str)


@pytest.mark.parametrize(
    ("env_id", "size", "width", "expected"),
    [
        ("Humanoid-v4", 348, 17, "Humanoid-v5"),
        ("Humanoid-v5", 376, 17, "Humanoid-v4"),
        ("Ant-v4", 111, 8, "Ant-v4 with use_contact_forces=True"),
        ("Ant-v4", 105, 8, "Ant-v5"),
        ("Ant-v5", 27, 8, "Ant-v4"),
        ("Hopper-v4", 12, 3, "exclude_current_positions_from_observation=False"),
    ],
)
def test_the_error_names_what_fits(env_id: str, size: int, width: int, expected: str) -> None:
    spec = EnvironmentSpec(env_id)
    bound = 0.4 if "Humanoid" in env_id else 1.0
    with pytest.raises(SpaceMismatchError) as caught:
        check_fit(spec, *spaces_of(spec), vector(size), actions(width, bound))
    assert caught.value.hint is not None
    assert expected in caught.value.hint
    assert f"({size},)" in str(caught.value)


def test_what_the_hint_says_to_type_fits() -> None:
    pytest.importorskip("ale_py", reason="the Atari environments are not installed")
    with pytest.raises(SpaceMismatchError) as caught:
        check_fit(raw := user_environment("ALE/Freeway-v5"), *spaces_of(raw), IMAGE_FIRST, Discrete(3))
    _, bracket, typed = str(caught.value.hint).rpartition("(--env ")
    assert bracket
    words = shlex.split(typed.removesuffix(")"))
    assert words[1::2] == ["--wrapper", "--wrapper"]
    named = user_environment(words[0], (), words[2::2])
    assert check_fit(named, *spaces_of(named), IMAGE_FIRST, Discrete(3)).transpose_image


def test_hints_for_time_feature_and_stacked_frames() -> None:
    spec = EnvironmentSpec("CartPole-v1")
    with pytest.raises(SpaceMismatchError, match="TimeFeatureWrapper"):
        check_fit(spec, *spaces_of(spec), vector(5), TWO)
    with pytest.raises(SpaceMismatchError, match="4 times"):
        check_fit(spec, *spaces_of(spec), vector(16), TWO)
    with pytest.raises(SpaceMismatchError, match="--env"):
        check_fit(spec, *spaces_of(spec), vector(4), Discrete(7))


def test_fitting_variants_without_actions() -> None:
    assert [variant.id for variant in fitting_variants(EnvironmentSpec("Humanoid-v4"), vector(348))] == ["Humanoid-v5"]


@pytest.mark.parametrize(
    ("env_id", "observations", "action_space", "made", "wrappers"),
    [
        ("HalfCheetah-v3", vector(17), actions(6), "HalfCheetah-v4", ()),
        ("HalfCheetah-v3", vector(18, timed=True), actions(6), "HalfCheetah-v4", ("TimeFeatureWrapper",)),
        ("LunarLander-v2", vector(8), Discrete(4), "LunarLander-v3", ()),
        ("Humanoid-v3", vector(376), actions(17, 0.4), "Humanoid-v4", ("ZeroContactForces",)),
        ("Humanoid-v2", vector(348), actions(17, 0.4), "Humanoid-v5", ()),
        ("Ant-v3", vector(27), actions(8), "Ant-v4", ()),
        ("Ant-v3", vector(111), actions(8), "Ant-v4", ("ZeroContactForces",)),
        ("Ant-v2", vector(112, timed=True), actions(8), "Ant-v4", ("ZeroContactForces", "TimeFeatureWrapper")),
        ("PongNoFrameskip-v4", IMAGE_FIRST, Discrete(6), "PongNoFrameskip-v4", ("AtariWrapper", "frame_stack")),
    ],
    ids=str,
)
def test_agents_go_through_without_a_flag(
    env_id: str, observations: Space, action_space: Space, made: str, wrappers: tuple[str, ...]
) -> None:
    resolved_environment = resolve_for_agent(EnvironmentSpec(env_id), observations, action_space)
    assert resolved_environment.spec.id == made
    assert tuple(wrapper.name for wrapper in resolved_environment.spec.wrappers) == wrappers
    assert resolved_environment.spec.trained_id == (env_id if made != env_id else None)
    assert bool(resolved_environment.notices) == (made != env_id or bool(wrappers))
    assert isinstance(compare(*spaces_of(resolved_environment.spec), observations, action_space), Fit)
    again = resolve_for_agent(resolved_environment.spec, observations, action_space)
    assert (again.spec, again.notices) == (resolved_environment.spec, ())


def test_real_contact_forces_where_the_normaliser_saw_them() -> None:
    resolved_environment = resolve_for_agent(EnvironmentSpec("Ant-v3"), vector(111), actions(8), np.ones(111))
    assert resolved_environment.spec.kwargs == (("use_contact_forces", True),)
    assert resolved_environment.spec.wrappers == ()
    assert any("use_contact_forces=True" in notice for notice in resolved_environment.notices)


def test_a_lander_with_continuous_actions() -> None:
    resolved_environment = resolve_for_agent(EnvironmentSpec("LunarLander-v2"), vector(8), actions(2))
    assert resolved_environment.spec.kwargs == (("continuous", True),)


def test_what_is_not_certain_is_not_guessed() -> None:
    with pytest.raises(SpaceMismatchError) as caught:
        resolve_for_agent(EnvironmentSpec("HalfCheetah-v3"), vector(18), actions(6))
    assert caught.value.hint is not None
    assert "TimeFeatureWrapper" in caught.value.hint
    assert "exclude_current_positions" in caught.value.hint


def test_what_the_user_named_is_taken_as_it_is() -> None:
    with pytest.raises(SpaceMismatchError, match="use_contact_forces"):
        resolve_for_agent(user_environment("Ant-v4"), vector(111), actions(8))
    chosen = user_environment("Ant-v4", ["use_contact_forces=True"], trained_id="Ant-v3")
    assert resolve_for_agent(chosen, vector(111), actions(8)).spec == chosen
    old = resolve_for_agent(user_environment("Ant-v3"), vector(111), actions(8))
    assert old.spec.wrappers == (WrapperSpec("ZeroContactForces"),)


def test_an_environment_that_cannot_be_made_says_why() -> None:
    with pytest.raises(UnknownEnvironmentError):
        resolve_for_agent(EnvironmentSpec("HopperBulletEnv-v0"), vector(15), actions(3))
    with pytest.raises(EnvironmentInputError, match="not_there"):
        resolve_for_agent(EnvironmentSpec("Hopper-v4", kwargs=(("not_there", 1),)), vector(11), actions(3))


def test_nothing_fits() -> None:
    with pytest.raises(SpaceMismatchError, match="--env"):
        resolve_for_agent(EnvironmentSpec("Hopper-v3"), vector(50), actions(3))
