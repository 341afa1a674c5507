"""Environments in one process, as in the library, without a deep copy at every step."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn


class LeanVecEnv(DummyVecEnv):
    """``DummyVecEnv`` for environments that create a new info at every step, as Gymnasium's do.

    The library copies infos deeply, since it keeps and changes its own list of them; here the list is new each time.
    """

    def step_wait(self) -> VecEnvStepReturn:
        """Step every environment; one that ends is reset, and its last observation is in its info."""
        infos: list[dict[str, Any]] = []
        for index, env in enumerate(self.envs):
            observation, reward, terminated, truncated, info = env.step(self.actions[index])
            info["TimeLimit.truncated"] = truncated and not terminated
            done = bool(terminated or truncated)
            if done:
                info["terminal_observation"] = observation
                observation, self.reset_infos[index] = env.reset()
            self._save_obs(index, observation)
            self.buf_rews[index], self.buf_dones[index] = reward, done
            infos.append(info)
        self.buf_infos = infos
        return self._obs_from_buf(), self.buf_rews.copy(), self.buf_dones.copy(), infos

    def _obs_from_buf(self) -> Any:
        if self.keys == [None]:
            return next(iter(self.buf_obs.values())).copy()
        return super()._obs_from_buf()
