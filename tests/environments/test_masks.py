from __future__ import annotations

from collections import Counter
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from policypress.environments.determinism import ignores_seed
from policypress.environments.rollout import random_actor, run_episode, try_out
from policypress.environments.wrappers import allowed as wrappers
from policypress.environments.wrappers.masks import ActionMasker, MaskedActor, choices, deciding, offers_masks
from policypress_runtime.contract import WrapperSpec
from policypress_runtime.errors import EnvironmentFailedError, WrapperError


class Guarded(gymnasium.Env[Any, Any]):
    """One or two options of each choice are allowed; anything else is an error of the environment."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, space: spaces.Space[Any] | None = None) -> None:
        self.action_space = spaces.Discrete(4) if space is None else space
        self.taken: Counter[Any] = Counter()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._time = 0
        return np.zeros(1, np.float32), {}

    def valid_action_mask(self) -> Any:
        mask = np.zeros(sum(choices(self.action_space)), np.int8)
        begin = 0
        for width in choices(self.action_space):
            mask[begin + self._time % width] = mask[begin + (self._time + 1) % width] = 1
            begin += width
        return mask

    def step(self, action: Any) -> Any:
        mask, begin = self.valid_action_mask(), 0
        if isinstance(self.action_space, spaces.Box):
            picked: list[int] = []
        elif isinstance(self.action_space, spaces.Discrete):
            picked = [int(action) - int(self.action_space.start)]
        else:
            picked = [int(part) for part in action]
        for width, option in zip(choices(self.action_space), picked, strict=True):
            if not mask[begin + option]:
                raise RuntimeError("not allowed")
            begin += width
        self.taken[self._time % 12, str(picked)] += 1
        self._time += 1
        return np.zeros(1, np.float32), 1.0, self._time == 40, False, {}


class Masked(Guarded):
    def action_masks(self) -> Any:
        return self.valid_action_mask()


SPACES = [
    spaces.Discrete(4),
    spaces.Discrete(4, start=-2),
    spaces.MultiDiscrete([3, 4]),
    spaces.MultiBinary(2),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_random_actions_are_allowed_ones_and_follow_the_seed(space: spaces.Space[Any]) -> None:
    env = Masked(space)
    assert offers_masks(env)
    for seed in range(20):
        run_episode(env, random_actor(env, seed, masked=True), seed)
    first = [run_episode(env, random_actor(env, seed, masked=True), seed) for seed in (1, 1)]
    assert first[0].episode_return == first[1].episode_return == 40.0
    options = {text for time, text in env.taken if time == 0}
    assert len(options) == 2 ** len(choices(space))  # every allowed combination
    if not isinstance(space, spaces.MultiBinary):
        with pytest.raises(EnvironmentFailedError, match="not allowed"):
            run_episode(env, random_actor(env, 0), 0)
    try_out(lambda: Masked(space))
    assert ignores_seed(lambda: Masked(space))


def test_a_wrapper_may_be_the_one_that_offers_masks() -> None:
    env = Guarded()
    assert not offers_masks(env)
    wrapped = wrappers.apply(env, WrapperSpec("ActionMasker", (("action_mask_fn", "valid_action_mask"),)))
    outer = gymnasium.wrappers.TimeLimit(wrapped, 100)
    assert offers_masks(outer)
    assert run_episode(outer, random_actor(outer, 0, masked=True), 0).length == 40


@pytest.mark.parametrize("name", ["close", "_valid_mask", "__init__", "valid mask", "legal_moves"])
def test_action_masker_calls_no_other_methods(name: str) -> None:
    with pytest.raises(WrapperError, match="ActionMasker"):
        ActionMasker(Guarded(), name)


def test_a_masked_actor_without_masks_is_the_plain_one() -> None:
    env = Guarded()
    env.reset(seed=0)
    actor = MaskedActor(lambda _: 1, lambda _, mask: int(np.argmax(mask)))
    assert deciding(actor, env) is actor
    assert actor(np.zeros(1)) == 1
    plain = random_actor(env, 0)
    assert deciding(plain, Masked()) is plain
    assert not offers_masks(Masked(spaces.Box(-1, 1, (2,), np.float32)))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda: [True] * 3, "returned no mask of its action space"),
        (lambda: None, "returned no mask of its action space"),
        (lambda: ["x"] * 4, "returned no mask of its action space"),
        (lambda: {}["board"], "failed"),
    ],
)
def test_bad_masks_are_the_environment_s_fault(given: Any, words: str) -> None:
    env = Masked()
    env.action_masks = given  # type: ignore[method-assign]
    with pytest.raises(EnvironmentFailedError, match="action_masks") as caught:
        run_episode(env, MaskedActor(lambda _: 0, lambda _, mask: 0), 0)
    assert words in caught.value.message
