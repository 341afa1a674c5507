from __future__ import annotations

from dataclasses import replace

import pytest

from policypress.environments.inheritance import called, completed
from policypress.environments.trust import trusted_modules, user_environment, with_additions
from policypress_runtime.contract import EnvironmentSpec, WrapperSpec
from policypress_runtime.errors import WrapperError

STACK = WrapperSpec("frame_stack", (("n_stack", 4),))
OWN = EnvironmentSpec("CartPole-v1", (("sutton_barto_reward", True),), (STACK,))


def test_arguments_and_wrappers_of_the_files_hold_where_nothing_else_is_said() -> None:
    first, second = completed(user_environment("CartPole-v1"), OWN)
    assert (first.spec.kwargs, first.spec.wrappers) == (OWN.kwargs, OWN.wrappers)
    assert "frame_stack(n_stack=4)" in first.notices[0]
    assert "--wrapper none" in first.notices[0]
    assert (second.spec.kwargs, second.spec.wrappers) == (OWN.kwargs, ())
    assert "not applied: frame_stack(n_stack=4)" in second.notices[0]


def test_what_the_user_states_wins() -> None:
    named = user_environment("CartPole-v1", ["sutton_barto_reward=False"], ["FrameSkip(skip=2)"])
    (only,) = completed(named, OWN)
    assert only.spec.kwargs == (("sutton_barto_reward", False),)
    assert only.spec.wrappers == (WrapperSpec("FrameSkip", (("skip", 2),)),)
    assert "frame_stack(n_stack=4)" in only.notices[0]
    (bare,) = completed(user_environment("CartPole-v1", wrappers=["none"]), OWN)
    assert bare.spec.wrappers == ()
    (same,) = completed(user_environment("CartPole-v1", wrappers=["frame_stack(n_stack=4)"]), OWN)
    assert same.notices == ()


def test_another_id_has_other_arguments() -> None:
    first = completed(user_environment("Acrobot-v1"), OWN)[0]
    assert first.spec.kwargs == ()
    assert "sutton_barto_reward=True" in first.notices[0]
    moved = replace(OWN, trained_id="CartPole-v0")
    assert completed(user_environment("CartPole-v0"), moved)[0].spec.kwargs == OWN.kwargs


def test_nothing_is_taken_over_by_what_is_whole() -> None:
    plain = EnvironmentSpec("CartPole-v1")
    assert [way.spec for way in completed(plain, OWN)] == [plain]
    assert [way.spec for way in completed(user_environment("CartPole-v1"), None)] == [user_environment("CartPole-v1")]
    added = with_additions(OWN, ["sutton_barto_reward=False"])
    assert [(way.spec, way.notices) for way in completed(added, OWN)] == [(added, ())]


def test_a_file_s_own_class_stays_shut_even_where_its_module_was_named() -> None:
    theirs = replace(OWN, wrappers=(WrapperSpec("envs:Evil"),))
    with pytest.raises(WrapperError, match="--wrapper envs:Evil"):
        completed(user_environment("envs:CartPole-v1"), theirs)
    (mine,) = completed(user_environment("envs:CartPole-v1", wrappers=["envs:Evil"]), theirs)
    assert trusted_modules(mine.spec) == ("envs",)
    assert completed(user_environment("envs:CartPole-v1", wrappers=["none"]), theirs)[0].spec.wrappers == ()


def test_none_stands_alone() -> None:
    with pytest.raises(WrapperError, match="excludes other wrappers"):
        user_environment("CartPole-v1", wrappers=["none", "FrameSkip"])
    assert called(STACK) == "frame_stack(n_stack=4)"
    assert called(WrapperSpec("FrameSkip")) == "FrameSkip"
