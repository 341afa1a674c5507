from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from policypress.environments.making import SpecFactory, make
from policypress.environments.rollout import random_actor, run_episode
from policypress_runtime.contract import EnvironmentSpec, WrapperSpec
from policypress_runtime.errors import EnvironmentInputError, UnknownEnvironmentError, WrapperError


def test_arguments_and_wrappers_apply_in_order() -> None:
    spec = EnvironmentSpec(
        "HalfCheetah-v4",
        kwargs=(("exclude_current_positions_from_observation", False),),
        wrappers=(WrapperSpec("TimeFeatureWrapper"), WrapperSpec("frame_stack", (("n_stack", 2),))),
    )
    assert make(spec).observation_space.shape == (2 * (18 + 1),)


def test_old_ids_are_made_under_their_new_name() -> None:
    env = make(EnvironmentSpec("LunarLander-v2"))
    assert env.spec is not None
    assert env.spec.id == "LunarLander-v3"


def test_a_factory_can_be_pickled() -> None:
    factory = pickle.loads(pickle.dumps(SpecFactory(EnvironmentSpec("CartPole-v1"))))
    env = factory()
    assert run_episode(env, random_actor(env, 0), seed=0).length > 0


def test_unknown_arguments_are_a_typed_error() -> None:
    with pytest.raises(EnvironmentInputError, match="not_there=1"):
        make(EnvironmentSpec("CartPole-v1", kwargs=(("not_there", 1),)))


def test_an_unknown_id_is_a_typed_error() -> None:
    with pytest.raises(UnknownEnvironmentError):
        make(EnvironmentSpec("NoSuchThing-v0"))


def test_an_argument_of_a_wrapper_that_it_does_not_know_is_a_typed_error() -> None:
    with pytest.raises(WrapperError, match="TimeLimit"):
        make(EnvironmentSpec("CartPole-v1", wrappers=(WrapperSpec("TimeLimit", (("nope", 1),)),)))


CHILD = """
import warnings
warnings.simplefilter("error")
import sys
from policypress_runtime.contract import EnvironmentSpec
from policypress.environments.making import make
for env_id in ("HalfCheetah-v4", "LunarLander-v3", "PongNoFrameskip-v4"):
    make(EnvironmentSpec(env_id)).reset(seed=0)
assert "torch" not in sys.modules
assert "stable_baselines3" not in sys.modules
"""


def test_nothing_is_printed_and_no_file_is_left(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CHILD], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_a_users_own_mujoco_handler_stays(tmp_path: Path) -> None:
    child = (
        "import mujoco; heard = []; mujoco.set_mju_user_warning(heard.append)\n"
        + CHILD
        + "assert any('settotalmass' in text for text in heard)\n"
    )
    done = subprocess.run([sys.executable, "-c", child], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
