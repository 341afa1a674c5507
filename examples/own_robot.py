"""Compress the policy of a robot in a simulation of its own: a MuJoCo model, with the observations of its controller.

Whoever trains a robot's policy elsewhere has a file of weights, a model of the robot, and the code that makes the
policy's observations on the real machine. The last two make an environment: the observations have to be the same
numbers in the same order, and an action has to mean the same. Run from this folder:

    python own_robot.py

which writes the weights and compresses them; or, after that, on the command line:

    policypress compress out/own_robot/arm.pt --layers 0,2 --activation relu --squash none --normalizer none \
        --env own_robot:PointingArm-v0 --recipe "equalize > int8" --episodes 5 -o out/arm
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import torch

from policypress import compress
from policypress.agents.stated_overrides import stated_overrides
from policypress.engine.store.reader import StoreReader
from policypress.report.recipe_results import read_rows

MODEL = """
<mujoco model="pointing arm">
  <compiler angle="radian"/>
  <option timestep="0.005" integrator="implicitfast"/>
  <worldbody>
    <body name="upper">
      <joint name="shoulder" axis="0 1 0" damping="0.3" range="-2 2" limited="true"/>
      <geom type="capsule" fromto="0 0 0  0.3 0 0" size="0.03" mass="0.6"/>
      <body name="lower" pos="0.3 0 0">
        <joint name="elbow" axis="0 1 0" damping="0.2" range="-2 2" limited="true"/>
        <geom type="capsule" fromto="0 0 0  0.25 0 0" size="0.02" mass="0.3"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <position joint="shoulder" kp="20" kv="1"/>
    <position joint="elbow" kp="10" kv="0.5"/>
  </actuator>
</mujoco>
"""
HOME = np.array([-0.3, 0.6])
SUBSTEPS = 4
ACTION_SCALE = 0.8
STEPS = 100


class PointingArm(gymnasium.Env[np.ndarray, np.ndarray]):
    """Two links that follow commanded angles, at 50 Hz.

    Observation (8): joint angles less home, joint velocities / 10, commanded angles less home, last action.
    Action (2): the position controllers' targets are home + 0.8 · action.
    """

    def __init__(self, payload_kg: float = 0.0) -> None:
        self.model = mujoco.MjModel.from_xml_string(MODEL)
        self.model.body("lower").mass[0] += payload_kg
        self.data = mujoco.MjData(self.model)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (8,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self._command, self._last = np.zeros(2), np.zeros(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start near home; the seed decides where, and what is commanded."""
        super().reset(seed=seed)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = HOME + self.np_random.uniform(-0.1, 0.1, 2)
        mujoco.mj_forward(self.model, self.data)
        self._command, self._last = self.np_random.uniform(-0.6, 0.6, 2), np.zeros(2)
        return self._observed(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One action, held for four steps of the simulation; the reward is 1 where the arm is where it should be."""
        self._last = np.clip(np.asarray(action, np.float64), -1.0, 1.0)
        self.data.ctrl[:] = HOME + ACTION_SCALE * self._last
        mujoco.mj_step(self.model, self.data, SUBSTEPS)
        error = self.data.qpos - HOME - self._command
        return self._observed(), float(np.exp(-8.0 * error @ error)), False, False, {}

    def _observed(self) -> np.ndarray:
        parts = (self.data.qpos - HOME, self.data.qvel / 10.0, self._command, self._last)
        return np.concatenate(parts).astype(np.float32)


gymnasium.register("PointingArm-v0", entry_point=f"{__name__}:PointingArm", max_episode_steps=STEPS)


def pointing() -> gymnasium.Env[Any, Any]:
    """What ``env_fn`` wants: a function that makes the environment."""
    return gymnasium.wrappers.TimeLimit(PointingArm(), max_episode_steps=STEPS)


def weights() -> torch.nn.Sequential:
    """A controller as a network: target = command + a share of what is missing, through 16 ReLU units.

    A robot's policy would come out of training; this one can be written down.
    """
    gain = torch.zeros(2, 8)
    for joint in range(2):
        gain[joint, joint], gain[joint, 2 + joint], gain[joint, 4 + joint] = -0.6, -0.2, 1.9
    hidden, output = torch.nn.Linear(8, 16), torch.nn.Linear(16, 2)
    parts = torch.tensor([0.1, 0.2, 0.3, 0.4])
    with torch.no_grad():
        for layer in (hidden, output):
            layer.weight.zero_()
            layer.bias.zero_()
        for joint in range(2):
            for index, part in enumerate(parts):
                # x = relu(x) - relu(-x), in four parts of different size
                unit = 8 * joint + 2 * index
                hidden.weight[unit], hidden.weight[unit + 1] = part * gain[joint], -part * gain[joint]
                output.weight[joint, unit], output.weight[joint, unit + 1] = 1.0, -1.0
    return torch.nn.Sequential(hidden, torch.nn.ReLU(), output)


def main(output: Path) -> None:
    """Write the weights, compress them, and print what each recipe keeps."""
    output.mkdir(parents=True, exist_ok=True)
    file = output / "arm.pt"
    torch.save(weights().state_dict(), file)
    # A file of weights says nothing else of its network: it is told, as on the command line.
    told = stated_overrides(layers="0,2", activation="relu", squash="none", normalizer="none")
    recipes = ["prune(l2, 0.25)", "equalize > int8"]
    # A function of a script cannot be sent to other processes, so this runs in this one.
    where = {"env_fn": pointing, "episodes": 5, "executor": "debug", "costs": False}
    done = compress(file, recipes, output=output / "found", overrides=told, **where)
    with StoreReader(done.store) as store:
        for row in read_rows(store, done.cells):
            print(f"{row.name:20} mean return {np.mean(row.returns):6.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/own_robot"))
