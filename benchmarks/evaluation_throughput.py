"""How much of evaluating a policy is not physics: environment steps per CPU-second of one core, HalfCheetah-v4.

Prints a Markdown table: MuJoCo alone (the calls into it that a step of the environment makes, with the actions of a
played episode; no observations, no rewards), ``env.step`` with the same actions, this package's evaluation with the
native runtime (fp32, and int8 by ``equalize > int8``) and with ONNX Runtime, and Stable-Baselines3's
``evaluate_policy`` with the same weights. They take turns, one episode each; what is shown is the median over the
rounds, and the median of the ratios within a round. Fails where what is ours costs more than a tenth of the steps:
native int8 evaluation has less than 90 % of the throughput of ``env.step``, or less than four times that of
``evaluate_policy``. To be run on a quiet machine: what is interpreted suffers more from neighbours than the physics.

    python benchmarks/evaluation_throughput.py examples/agents/sac-HalfCheetah-v4.zip
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from policypress.environments.making import SpecFactory
from policypress.measurement.agent_in_environment import agent_in_environment
from policypress.measurement.evaluation import model_of
from policypress.measurement.returns import measure_returns
from policypress.study.export_agent import export_agent
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.runtimes.loading import load_model
from policypress_runtime.runtimes.protocol import Runtime

FACTORY = SpecFactory(EnvironmentSpec("HalfCheetah-v4"))
PHYSICS, STEP, PREDICT = "physics only", "env.step", "SB3 evaluate_policy"
ORT, FLOAT, EVALUATION = "evaluate (ONNX Runtime, fp32)", "evaluate (native, fp32)", "evaluate (native, int8)"
LEAST_OF_STEP, LEAST_OF_PREDICT = 0.9, 4.0
Actions = list[npt.NDArray[Any]]


def played(runtime: Runtime, seed: int) -> Actions:
    """The actions of one episode."""
    actions: Actions = []

    def act(observation: Any) -> Any:
        actions.append(runtime.act(observation))
        return actions[-1]

    measure_returns(act, FACTORY, [seed])
    return actions


def physics(env: Any, actions: Actions, seed: int) -> float:
    """Steps per CPU-second of MuJoCo alone, from the state that ``seed`` gives."""
    inner = env.unwrapped
    env.reset(seed=seed)
    start_s = time.process_time()
    for action in actions:
        inner.data.ctrl[:] = action
        mujoco.mj_step(inner.model, inner.data, inner.frame_skip)
        mujoco.mj_rnePostConstraint(inner.model, inner.data)  # contact forces: part of every step of the environment
    return len(actions) / (time.process_time() - start_s)


def steps(env: Any, actions: Actions, seed: int) -> float:
    """Steps per CPU-second of the environment."""
    start_s = time.process_time()
    env.reset(seed=seed)
    for action in actions:
        env.step(action)
    return len(actions) / (time.process_time() - start_s)


def pressed(agent: str) -> bytes:
    """The int8 artifact of ``agent``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.onnx"
        export_agent(agent, path, "equalize > int8")
        return path.read_bytes()


def evaluation(runtime: Runtime, seed: int) -> float:
    """Steps per CPU-second of an episode as this package plays it."""
    (episode,) = measure_returns(runtime.act, FACTORY, [seed])
    return episode.length / episode.cpu_s


def sb3_model(agent: str, env: DummyVecEnv) -> SAC:
    """A SAC model with the agent's weights; the shipped file has no more than those."""
    model = SAC("MlpPolicy", env, buffer_size=1, device="cpu")
    with zipfile.ZipFile(agent) as archive:
        tensors = torch.load(io.BytesIO(archive.read("policy.pth")), weights_only=True)
    missing, unexpected = model.policy.load_state_dict(tensors, strict=False)
    if unexpected or any(name.startswith("actor.") for name in missing):
        sys.exit(f"{agent} is no SAC agent of two hidden layers of 256")
    return model


def sb3_evaluation(model: SAC, env: DummyVecEnv, seed: int) -> float:
    """Steps per CPU-second of an episode as Stable-Baselines3 plays it."""
    env.seed(seed)
    start_s = time.process_time()
    _, lengths = evaluate_policy(model, env, n_eval_episodes=1, return_episode_rewards=True)
    return float(sum(lengths)) / (time.process_time() - start_s)


def main() -> None:
    """Measure, print the table, and fail where a requirement is not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agent", metavar="AGENT", help="a SAC agent for HalfCheetah-v4")
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = model_of(agent_in_environment(arguments.agent).policy)
    runtime = load_model(model, "onnxruntime")
    native, small = load_model(model, "native"), load_model(pressed(arguments.agent), "native")
    env, vectorised = FACTORY(), DummyVecEnv([lambda: Monitor(FACTORY())])
    model = sb3_model(arguments.agent, vectorised)
    actions = played(runtime, 0)
    turns: dict[str, Callable[[], float]] = {
        PHYSICS: lambda: physics(env, actions, 0),
        STEP: lambda: steps(env, actions, 0),
        ORT: lambda: evaluation(runtime, 0),
        FLOAT: lambda: evaluation(native, 0),
        EVALUATION: lambda: evaluation(small, 0),
        PREDICT: lambda: sb3_evaluation(model, vectorised, 0),
    }
    found: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(arguments.rounds + 1):
        for name, turn in turns.items():
            found[name].append(turn())
    rates = {name: np.array(values[1:]) for name, values in found.items()}  # the first round warms up
    print("| | steps per CPU-second | of physics only | of evaluate_policy |\n|---|---|---|---|")
    for name, values in rates.items():
        of_physics, of_predict = np.median(values / rates[PHYSICS]), np.median(values / rates[PREDICT])
        print(f"| {name} | {np.median(values):.0f} | {100 * of_physics:.0f} % | {of_predict:.1f}× |")
    of_step = float(np.median(rates[EVALUATION] / rates[STEP]))
    of_predict = float(np.median(rates[EVALUATION] / rates[PREDICT]))
    if of_step < LEAST_OF_STEP or of_predict < LEAST_OF_PREDICT:
        sys.exit(f"required: {100 * LEAST_OF_STEP:.0f} % of env.step, {LEAST_OF_PREDICT}× evaluate_policy")


if __name__ == "__main__":
    main()
