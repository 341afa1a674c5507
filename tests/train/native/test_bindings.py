"""Optimizers are watched as torch's are, and a training that stopped goes on to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from stable_baselines3 import SAC

from native_updates import NATIVE, built_model, learned
from policypress.training_package import TrainingRequest
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import TrainingInputError
from policypress_train.algorithms import ALGORITHMS
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.outputs import output_paths
from policypress_train.qat.config import QatConfig
from policypress_train.spec import TrainingSpec
from policypress_train.trainer import Silent, TrainOptions, _Run, train


def spec_of(algorithm: str, steps: int, **more: Any) -> TrainingSpec:
    environment = EnvironmentSpec("CartPole-v1" if algorithm == "dqn" else "Pendulum-v1")
    stated: list[tuple[str, Any]] = [("net_arch", [32, 32]), ("batch_size", 16)]
    if algorithm in ("ppo", "trpo"):
        stated += [("n_steps", 20), ("n_envs", 2), ("use_sde", False)]
        stated.append(("n_epochs", 3) if algorithm == "ppo" else ("n_critic_updates", 3))
    else:
        stated.append(("learning_starts", 40))
    if algorithm == "dqn":
        stated += [("train_freq", 4), ("gradient_steps", 2), ("target_update_interval", 7)]
    return prepare(
        TrainingRequest(algorithm, environment, steps=steps, seed=3, overrides=stated, update="native", **more)
    ).spec


def weights(run: _Run) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.model.policy.state_dict().items()}


@pytest.mark.parametrize("qat", [None, QatConfig(networks="all")], ids=["fp32", "qat"])
@pytest.mark.parametrize("algorithm", ["dqn", "sac", "td3", "ddpg", "ppo", "trpo"])
def test_a_training_that_stopped_goes_on_to_the_bit(algorithm: str, qat: QatConfig | None, tmp_path: Path) -> None:
    spec = spec_of(algorithm, 120, qat=qat)
    options = TrainOptions(evaluate_every=0, checkpoint_every=70)
    whole = _Run(spec, output_paths(tmp_path / "whole.zip"), options, Silent())
    whole.run()
    stopped = _Run(spec, output_paths(tmp_path / "stopped.zip"), options, Silent())

    class Stop(Exception):
        pass

    def stop(steps: int) -> None:
        if steps > 90:
            raise Stop

    stopped.progress.advanced = stop  # type: ignore[method-assign]
    with pytest.raises(Stop):
        stopped.run()
    resumed = _Run(spec, output_paths(tmp_path / "stopped.zip"), options, Silent())
    resumed.run()
    assert resumed.log.resumed == [(80 if algorithm in ("ppo", "trpo") else 70 + 2 * (algorithm == "dqn"), True)]
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(resumed)[name]), name
    for run in (whole, stopped, resumed):
        run.close()


def test_the_zip_is_the_library_s_and_the_record_names_the_kernels(tmp_path: Path) -> None:
    spec = spec_of("sac", 60)
    record = train(spec, tmp_path / "agent.zip", options=TrainOptions(evaluate_every=0))
    assert record.to_json()["kernels"] in ("amx", "avx512", "avx2", "plain")
    assert record.spec_hash == TrainingSpec.from_json({**spec.to_json(), "update": "fast"}).hash
    loaded = SAC.load(tmp_path / "agent.zip")
    assert not any("policypress" in str(value) for value in vars(loaded).values())


@pytest.mark.parametrize("more", [{"prune": 0.5}, {"sparse": [("alpha", 4.0), ("strength", 0.01)]}])
@pytest.mark.parametrize("algorithm", ["dqn", "sac", "td3", "ppo"])
def test_what_hangs_on_the_optimizer_s_steps_runs(algorithm: str, more: dict[str, Any], tmp_path: Path) -> None:
    found = []
    # PPO prunes when a rollout begins: four fifths of 200 steps are the last one's begin.
    for name, extra in (("plain", {}), ("more", more)):
        run = _Run(
            spec_of(algorithm, 200 if algorithm == "ppo" else 80, **extra),
            output_paths(tmp_path / f"{name}.zip"),
            TrainOptions(evaluate_every=0),
            Silent(),
        )
        run.run()
        run.close()
        found.append(weights(run))
    prefixes = ALGORITHMS[algorithm].acting
    weights_of = [name for name in found[0] if name.startswith(prefixes) and name.endswith("weight")]
    acting = [name for name in weights_of if "log_std" not in name]
    if "prune" in more:
        zeros = sum(int((found[1][name] == 0).sum()) for name in acting)
        assert zeros == pytest.approx(0.5 * sum(found[1][name].numel() for name in acting), abs=1)
    else:
        sizes = [sum(float(weight[name].square().sum()) for name in acting) for weight in found]
        assert sizes[1] < sizes[0]


def test_a_hook_that_wants_to_see_gradients_is_refused() -> None:
    model = built_model(NATIVE["sac"], 3, 2)
    model.actor.optimizer.register_step_pre_hook(lambda *_: None)  # type: ignore[attr-defined]
    with pytest.raises(TrainingInputError, match="hook"):
        learned(model, 1)


def test_learning_rates_are_those_of_the_schedule() -> None:
    model = built_model(NATIVE["td3"], 3, 2, learning_rate=lambda left: 0.0)
    before = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    after = learned(model, 3)
    for name, tensor in before.items():
        if "target" not in name:
            assert torch.equal(after[name], tensor), name


def test_batches_may_change_in_size() -> None:
    one, other = (built_model(NATIVE["sac"], 3, 2) for _ in range(2))
    for model, sizes in ((one, (16, 48, 16)), (other, (16, 48, 16))):
        for index, size in enumerate(sizes):
            model.batch_size = size
            learned(model, 2, seed=index)
    for name, tensor in one.policy.state_dict().items():
        assert torch.equal(tensor, other.policy.state_dict()[name])
        assert torch.isfinite(tensor).all()
