from __future__ import annotations

import pickle
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from policypress.environments.making import make
from policypress.environments.trust import (
    UserEnvironmentSpec,
    import_named,
    parse_keyword,
    parse_user_wrapper,
    trust,
    trusted_modules,
    user_environment,
    with_additions,
)
from policypress_runtime.contract import EnvironmentSpec, WrapperSpec
from policypress_runtime.errors import EnvironmentInputError, WrapperError

MODULE = """
import pathlib
import gymnasium
pathlib.Path(__file__).with_name("{name}.ran").touch()

class Doubled(gymnasium.RewardWrapper):
    def reward(self, reward):
        return 2 * reward

gymnasium.register("{name}/Own-v0", "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=7)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    name = f"own_{abs(hash(request.node.nodeid)) % 10**8}"
    (tmp_path / f"{name}.py").write_text(MODULE.format(name=name))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    return name


def ran(module: str) -> bool:
    return Path(f"{module}.ran").exists()


def test_what_the_user_names_is_imported_from_the_working_directory(module: str) -> None:
    spec = user_environment(f"{module}:{module}/Own-v0", ["sutton_barto_reward=True"], [f"{module}:Doubled"])
    env = make(spec)
    env.reset(seed=0)
    total = 0.0
    ended = False
    while not ended:
        _, reward, terminated, truncated, _ = env.step(0)
        total += float(reward)
        ended = terminated or truncated
    assert env.spec is not None
    assert env.spec.max_episode_steps == 7
    assert total in (0.0, -2.0)
    assert ran(module)


@pytest.mark.parametrize("part", ["id", "wrapper"])
def test_what_a_file_names_is_refused_and_does_not_run(module: str, part: str) -> None:
    spec = (
        EnvironmentSpec(f"{module}:{module}/Own-v0")
        if part == "id"
        else EnvironmentSpec("CartPole-v1", wrappers=(WrapperSpec(f"{module}:Doubled"),))
    )
    with pytest.raises(EnvironmentInputError, match="Only the user"):
        make(spec)
    assert not ran(module)
    assert module not in sys.modules


def test_a_users_environment_does_not_open_the_door_for_a_files_wrapper(module: str) -> None:
    spec = trust(EnvironmentSpec("CartPole-v1", wrappers=(WrapperSpec(f"{module}:Doubled"),)), ["gymnasium"])
    with pytest.raises(WrapperError, match="Only the user"):
        make(spec)
    assert not ran(module)


def test_bridges_to_old_gym_are_refused_from_files() -> None:
    with pytest.raises(EnvironmentInputError, match="bridge"):
        make(EnvironmentSpec("GymV21Environment-v0", kwargs=(("env_id", "evil:Env-v0"),)))


def test_arguments_and_wrappers_of_the_user_open_no_bridge_that_a_file_names(module: str) -> None:
    named = EnvironmentSpec("GymV21Environment-v0", kwargs=(("env_id", "evil:Env-v0"),))
    for spec in (with_additions(named, ["a=1"], [f"{module}:Doubled"]), trust(named, [module])):
        with pytest.raises(EnvironmentInputError, match="bridge"):
            make(spec)


def test_the_mark_is_in_no_json_and_survives_pickling() -> None:
    spec = user_environment("package:Own-v0", wrappers=["other:W"])
    assert spec.modules == ("package", "other")
    assert pickle.loads(pickle.dumps(spec)) == spec
    restored = EnvironmentSpec.from_json({**spec.to_json(), "modules": ["package"]})
    assert type(restored) is EnvironmentSpec
    assert trusted_modules(restored) == ()
    # What a file says is whole; it takes nothing over.
    assert trust(restored, ["package", "other"]) == replace(spec, inherits_kwargs=False, inherits_wrappers=False)


def test_a_broken_module_is_a_typed_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_broken.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(EnvironmentInputError, match="ZeroDivisionError"):
        import_named("own_broken")
    with pytest.raises(EnvironmentInputError, match="own_absent"):
        make(user_environment("own_absent:X-v0"))


def test_a_module_that_registers_nothing_is_told() -> None:
    with pytest.raises(EnvironmentInputError, match=r"gymnasium\.register"):
        make(user_environment("json:Nothing-v0"))


def test_keywords_are_literals_or_text() -> None:
    assert parse_keyword("gravity=-9.81") == ("gravity", -9.81)
    assert parse_keyword("flag=True") == ("flag", True)
    assert parse_keyword("shape=(1, 2)") == ("shape", (1, 2))
    assert parse_keyword("mode=fast") == ("mode", "fast")
    assert parse_keyword("code=__import__('os')") == ("code", "__import__('os')")
    assert parse_keyword("text=a=b") == ("text", "a=b")


@pytest.mark.parametrize("text", ["gravity", "=3", "a b=3", ""])
def test_what_is_no_keyword_is_said(text: str) -> None:
    with pytest.raises(EnvironmentInputError, match="key=value"):
        parse_keyword(text)


def test_user_wrappers_have_a_form() -> None:
    assert parse_user_wrapper("package.module:Class") == WrapperSpec("package.module:Class")
    assert parse_user_wrapper("TimeFeatureWrapper") == WrapperSpec("TimeFeatureWrapper")
    stacked = parse_user_wrapper("package.module:Stack(n_stack=4, name='x')")
    assert stacked == WrapperSpec("package.module:Stack", (("n_stack", 4), ("name", "x")))
    wrong = (
        "a:b:c",
        "os.system('x'):y",
        ":x",
        "x:",
        "x(4)",
        "x(a=b)",
        "x(a=f())",
        "x(**{})",
        "x(a=1)(b=2)",
        "x(a=1",
        "x()+y()",
    )
    for text in wrong:
        with pytest.raises(WrapperError):
            parse_user_wrapper(text)


def test_a_user_spec_can_be_told_from_a_plain_one() -> None:
    assert isinstance(user_environment("CartPole-v1"), UserEnvironmentSpec)
    assert user_environment("CartPole-v1").to_json() == EnvironmentSpec("CartPole-v1").to_json()
