from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from policypress.environments.making import make
from policypress.environments.wrappers.contact_forces import NAME, silenced
from policypress_runtime.contract import EnvironmentSpec, WrapperSpec
from policypress_runtime.errors import WrapperError

QUIET = (WrapperSpec(NAME),)


def observations(spec: EnvironmentSpec) -> np.ndarray:
    env = make(spec)
    seen = [env.reset(seed=0)[0]]
    for _ in range(30):
        seen.append(env.step(np.full(env.action_space.shape, 0.2, np.float32))[0])
        assert env.observation_space.contains(seen[-1])
    return np.stack(seen)


def test_ants_forces_are_appended_as_zeros() -> None:
    plain, quiet = (observations(EnvironmentSpec("Ant-v4", wrappers=w)) for w in ((), QUIET))
    assert quiet.shape[1] == 111
    assert np.array_equal(quiet[:, :27], plain)
    assert not quiet[:, 27:].any()


@pytest.mark.parametrize(
    ("spec", "first", "end"),
    [
        (EnvironmentSpec("Ant-v4", kwargs=(("use_contact_forces", True),)), 27, 111),
        (EnvironmentSpec("Humanoid-v4"), 292, 376),
        (EnvironmentSpec("HumanoidStandup-v4"), 292, 376),
    ],
    ids=lambda value: value.id if isinstance(value, EnvironmentSpec) else "",
)
def test_forces_and_nothing_else_become_zero(spec: EnvironmentSpec, first: int, end: int) -> None:
    plain = observations(spec)
    quiet = observations(EnvironmentSpec(spec.id, spec.kwargs, QUIET))
    assert plain[:, first:end].any()
    assert not quiet[:, first:end].any()
    assert np.array_equal(quiet[:, :first], plain[:, :first])
    assert quiet.shape == plain.shape


def test_other_environments_are_refused() -> None:
    with pytest.raises(WrapperError, match="Ant"):
        make(EnvironmentSpec("Hopper-v4", wrappers=QUIET))
    with pytest.raises(WrapperError, match="version"):
        make(EnvironmentSpec("Humanoid-v5", wrappers=QUIET))
    assert gymnasium.spec("Humanoid-v5").name == "Humanoid"


def test_only_agents_of_old_versions_are_shown_zeros() -> None:
    ant = EnvironmentSpec("Ant-v4", trained_id="Ant-v3")
    quiet = silenced(ant, "Ant-v3", None)
    assert quiet is not None
    assert quiet.wrappers == QUIET
    assert silenced(quiet, "Ant-v3", None) is None
    assert silenced(ant, "Ant-v4", None) is None
    assert silenced(EnvironmentSpec("Hopper-v4"), "Hopper-v3", None) is None
    assert silenced(ant, "module:Ant-v3", None) is None


def test_a_normaliser_that_saw_forces_is_believed() -> None:
    ant = EnvironmentSpec("Ant-v4")
    variance = np.full(111, 1e-10)
    assert silenced(ant, "Ant-v3", variance) is not None
    variance[60] = 0.3
    assert silenced(ant, "Ant-v3", variance) is None
