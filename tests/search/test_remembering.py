"""A policy with memory under ``compress``: what acts is decided before the keys of cells are made of it."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
from torch import nn

from policypress.engine.store.reader import StoreReader
from policypress.policy.policy import Policy
from policypress.search.compress import compress
from policypress_runtime.runtimes.loading import resolved
from recurrent_policies import HIDDEN, INPUTS, policy_of


class Echo(gymnasium.Env[np.ndarray, np.ndarray]):
    """Six steps of random observations; the reward is the action's first number."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (INPUTS,), np.float32)
    action_space = gymnasium.spaces.Box(-np.inf, np.inf, (HIDDEN,), np.float32)

    def reset(self, *, seed: int | None = None, options: object = None) -> tuple[np.ndarray, dict[str, object]]:
        super().reset(seed=seed)
        self._left = 6
        return self._seen(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, object]]:
        self._left -= 1
        return self._seen(), float(action[0]), self._left == 0, False, {}

    def _seen(self) -> np.ndarray:
        return self.np_random.normal(size=INPUTS).astype(np.float32)


def policy() -> Policy:
    return policy_of("gru", nn.GRU(INPUTS, HIDDEN))


def test_the_runtime_of_its_cells_is_the_one_that_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POLICYPRESS_RUNTIME", raising=False)
    done = compress(
        policy(), ["equalize > int8"], output=tmp_path, env_fn=Echo, episodes=3, executor="debug", costs=False
    )
    runtimes = {cell.protocol.runtime for cell in done.outcome.done if cell.kind != "random"}
    acting = resolved("auto")[0]
    assert runtimes == {acting}
    built = [StoreReader(done.store).artifact(cell.key) for cell in done.outcome.done if cell.kind == "variant"]
    assert {record.runtime for record in built if record is not None} == {acting}
    assert done.outcome.failed == ()
