"""Small checkpoints in the forms of other frameworks, with what those would do with them, written out in numpy.

None of the frameworks is needed: the forms are those of files that they wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Doubles = npt.NDArray[np.float64]
ROWS = np.random.default_rng(3).normal(scale=3.0, size=(64, 6))


@dataclass(frozen=True)
class Case:
    """A checkpoint as ``content``, what must be ``stated`` of it, and the actions that its framework gives."""

    content: Any
    act: Callable[[Doubles], Doubles]
    stated: dict[str, Any] = field(default_factory=dict)
    name: str = "file.pt"

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        torch.save(self.content, path)
        return path


def elu(x: Doubles) -> Doubles:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def relu(x: Doubles) -> Doubles:
    return np.maximum(x, 0)


class Mlp:
    """Random layers 6 → 16 → 8 → ``outputs``."""

    def __init__(self, outputs: int = 3, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        sizes = (6, 16, 8, outputs)
        self.weights = [rng.normal(size=(b, a)) / np.sqrt(a) for a, b in pairwise(sizes)]
        self.biases = [rng.normal(size=b) for b in sizes[1:]]

    def run(self, x: Doubles, activation: Callable[[Doubles], Doubles]) -> Doubles:
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ weight.astype(np.float32).astype(np.float64).T + bias.astype(np.float32).astype(np.float64)
            x = activation(x) if place < 2 else x
        return x

    def state(self, *names: str) -> dict[str, torch.Tensor]:
        state = {}
        for name, weight, bias in zip(names, self.weights, self.biases, strict=True):
            state[f"{name}.weight"] = torch.tensor(weight, dtype=torch.float32)
            state[f"{name}.bias"] = torch.tensor(bias, dtype=torch.float32)
        return state


MEAN = np.random.default_rng(8).normal(size=6)
VARIANCE = np.random.default_rng(9).uniform(0.1, 4.0, size=6)
DOUBLES = torch.tensor(MEAN), torch.tensor(VARIANCE)
COUNT = torch.tensor(100)


def _rsl_statistics(prefix: str = "") -> dict[str, torch.Tensor]:
    return {
        f"{prefix}_mean": torch.tensor(MEAN, dtype=torch.float32)[None],
        f"{prefix}_var": torch.tensor(VARIANCE, dtype=torch.float32)[None],
        f"{prefix}_std": torch.tensor(np.sqrt(VARIANCE), dtype=torch.float32)[None],
        f"{prefix}count": COUNT,
    }


def rsl_normalised(x: Doubles) -> Doubles:
    return (x - MEAN) / (np.sqrt(VARIANCE) + 1e-2)


def _critic() -> dict[str, torch.Tensor]:
    """Asymmetric: it sees other observations than the actor."""
    return {"critic.0.weight": torch.ones(4, 40), "critic.0.bias": torch.ones(4), "critic.2.weight": torch.ones(1, 4)}


def rsl_rl_2(**more: Any) -> Case:
    net = Mlp()
    model = {"std": torch.ones(3), **net.state("actor.0", "actor.2", "actor.4"), **_critic()}
    content = {
        "model_state_dict": model,
        "optimizer_state_dict": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1e-3}]},
        "iter": 7,
        "infos": None,
        "obs_norm_state_dict": _rsl_statistics(),
        "privileged_obs_norm_state_dict": {"_mean": torch.zeros(1, 40)},
    }
    return Case(content | more, lambda x: net.run(rsl_normalised(x), elu), {"activation": "elu"})


def rsl_rl_1() -> Case:
    net = Mlp()
    model = {"std": torch.ones(3), **net.state("actor.0", "actor.2", "actor.4"), **_critic()}
    return Case({"model_state_dict": model, "iter": 7}, lambda x: net.run(x, elu), {"activation": "elu"})


def rsl_rl_3() -> Case:
    net = Mlp()
    model = {
        "std": torch.ones(3),
        **net.state("actor.0", "actor.2", "actor.4"),
        **_rsl_statistics("actor_obs_normalizer."),
        **_critic(),
        "critic_obs_normalizer._mean": torch.zeros(1, 40),
    }
    return Case(
        {"model_state_dict": model, "infos": {}}, lambda x: net.run(rsl_normalised(x), relu), {"activation": "relu"}
    )


def rsl_rl_student() -> Case:
    net = Mlp()
    model = {**net.state("student.0", "student.2", "student.4"), "teacher.0.weight": torch.ones(3, 40)}
    return Case({"model_state_dict": model}, lambda x: net.run(x, np.tanh), {"activation": "tanh"})


def rsl_rl_5() -> Case:
    net = Mlp()
    actor = {
        **_rsl_statistics("obs_normalizer."),
        "distribution.std_param": torch.ones(3),
        **net.state("mlp.0", "mlp.2", "mlp.4"),
    }
    content = {"actor_state_dict": actor, "critic_state_dict": {"mlp.0.weight": torch.ones(1, 40)}, "iter": 5}
    return Case(content, lambda x: net.run(rsl_normalised(x), elu), {"activation": "elu"})


def _rl_games(net: Mlp, last: str) -> dict[str, Any]:
    return {
        "model": {
            "value_mean_std.running_mean": torch.zeros(1),
            "running_mean_std.running_mean": DOUBLES[0],
            "running_mean_std.running_var": DOUBLES[1],
            "running_mean_std.count": COUNT,
            "a2c_network.sigma": torch.zeros(3),
            **net.state("a2c_network.actor_mlp.0", "a2c_network.actor_mlp.2", f"a2c_network.{last}"),
            "a2c_network.value.weight": torch.ones(1, 8),
        },
        "epoch": 1,
        "last_mean_rewards": np.float64(3.5),
        "env_state": None,
    }


def _inside_root(x: Doubles) -> Doubles:
    return np.clip((x - MEAN) / np.sqrt(VARIANCE + 1e-5), -5, 5)


def rl_games() -> Case:
    net = Mlp()
    return Case(_rl_games(net, "mu"), lambda x: np.clip(net.run(_inside_root(x), elu), -1, 1), {"activation": "elu"})


def rl_games_discrete() -> Case:
    net = Mlp()
    return Case(_rl_games(net, "logits"), lambda x: net.run(_inside_root(x), elu).argmax(1), {"activation": "elu"})


def _skrl(preprocessor: str) -> dict[str, Any]:
    return {
        "policy": {"log_std_parameter": torch.zeros(3), **Mlp().state("net.0", "net.2", "mean_layer")},
        "value": {"net.0.weight": torch.ones(1, 40)},
        "optimizer": {"state": {}, "param_groups": []},
        preprocessor: {"running_mean": DOUBLES[0], "running_variance": DOUBLES[1], "current_count": COUNT},
    }


def _outside_root(x: Doubles) -> Doubles:
    return np.clip((x - MEAN) / (np.sqrt(VARIANCE) + 1e-8), -5, 5)


def skrl_1() -> Case:
    stated = {"activation": "elu", "squash": "none"}
    return Case(_skrl("state_preprocessor"), lambda x: Mlp().run(_outside_root(x), elu), stated)


def skrl_2() -> Case:
    content = _skrl("observation_preprocessor")
    content["state_preprocessor"] = {"running_mean": torch.zeros(40), "running_variance": torch.ones(40)}
    stated = {"activation": "elu", "squash": "tanh", "action_scale": "2"}
    return Case(content, lambda x: 2 * np.tanh(Mlp().run(_outside_root(x), elu)), stated)


def skrl_shared() -> Case:
    content = _skrl("state_preprocessor")
    content["policy"] = {
        "log_std_parameter": torch.zeros(3),
        **Mlp().state("net_container.0", "net_container.2", "policy_layer"),
        "value_layer.weight": torch.ones(1, 8),
        "value_layer.bias": torch.ones(1),
    }
    return Case(content, lambda x: Mlp().run(_outside_root(x), elu), {"activation": "elu", "squash": "none"})


def cleanrl_ppo() -> Case:
    net = Mlp()
    content = {
        **_critic(),
        "actor_logstd": torch.zeros(1, 3),
        **net.state("actor_mean.0", "actor_mean.2", "actor_mean.4"),
    }
    return Case(content, lambda x: net.run(x, np.tanh), {"normalizer": "none"}, "x.cleanrl_model")


def cleanrl_discrete() -> Case:
    net = Mlp()
    content = {**_critic(), **net.state("actor.0", "actor.2", "actor.4")}
    return Case(content, lambda x: net.run(x, np.tanh).argmax(1), {}, "x.cleanrl_model")


def cleanrl_dqn() -> Case:
    net = Mlp()
    return Case(
        net.state("network.0", "network.2", "network.4"), lambda x: net.run(x, relu).argmax(1), {}, "x.cleanrl_model"
    )


SCALE, BIAS = np.array([2.0, 0.5, 1.0]), np.array([0.5, 0.0, -1.0])


def _cleanrl_actor(last: str, **more: Any) -> Case:
    net = Mlp()
    scale = {"action_scale": torch.tensor(SCALE).float(), "action_bias": torch.tensor(BIAS).float()}
    actor = {**scale, **net.state("fc1", "fc2", last), **more}
    content = (actor, {"fc1.weight": torch.ones(4, 9)})
    return Case(content, lambda x: np.tanh(net.run(x, relu)) * SCALE + BIAS, {}, "x.cleanrl_model")


def cleanrl_td3() -> Case:
    return _cleanrl_actor("fc_mu")


def cleanrl_sac() -> Case:
    return _cleanrl_actor("fc_mean", **{"fc_logstd.weight": torch.ones(3, 8), "fc_logstd.bias": torch.ones(3)})


def _sample_factory(net: Mlp) -> dict[str, Any]:
    statistics = "obs_normalizer.running_mean_std.running_mean_std.obs."
    head = "encoder.encoders.obs.mlp_head."
    return {
        "train_step": 1,
        "best_performance": np.float32(2.0),
        "model": {
            f"{statistics}running_mean": DOUBLES[0],
            f"{statistics}running_var": DOUBLES[1],
            f"{statistics}count": COUNT,
            "returns_normalizer.running_mean": torch.zeros(1),
            **net.state(f"{head}0", f"{head}2", "action_parameterization.distribution_linear"),
            "critic_linear.weight": torch.ones(1, 8),
        },
    }


def sample_factory() -> Case:
    net = Mlp(outputs=6)
    return Case(
        _sample_factory(net), lambda x: net.run(_inside_root(x), elu)[:, :3], {"activation": "elu", "action_size": 3}
    )


def sample_factory_discrete() -> Case:
    net = Mlp(outputs=4)
    return Case(
        _sample_factory(net), lambda x: net.run(_inside_root(x), elu).argmax(1), {"activation": "elu", "actions": 4}
    )


def torchrl() -> Case:
    net = Mlp()
    names = [f"module.0.module.0.{index}" for index in (0, 2, 4)]
    content = {**net.state(*names), "module.0.module.1.state_independent_scale": torch.zeros(3)}
    return Case(content, lambda x: np.tanh(net.run(x, np.tanh)), {"activation": "tanh", "squash": "tanh"})


def torchrl_halves() -> Case:
    net = Mlp(outputs=4)
    content = net.state(*(f"module.0.module.{index}" for index in (0, 2, 4)))
    stated = {"activation": "relu", "squash": "none", "action_size": 2}
    return Case(content, lambda x: net.run(x, relu)[:, :2], stated)


def named() -> Case:
    net = Mlp()
    content = {**net.state("trunk", "middle", "out"), "other.weight": torch.ones(9, 9)}
    stated = {"layers": "trunk,middle,out", "activation": "silu", "squash": "none", "normalizer": "none"}
    return Case(content, lambda x: net.run(x, lambda v: v / (1 + np.exp(-v))), stated)


CASES: dict[str, Callable[[], Case]] = {
    make.__name__: make
    for make in (
        rsl_rl_1,
        rsl_rl_2,
        rsl_rl_3,
        rsl_rl_student,
        rsl_rl_5,
        rl_games,
        rl_games_discrete,
        skrl_1,
        skrl_2,
        skrl_shared,
        cleanrl_ppo,
        cleanrl_discrete,
        cleanrl_dqn,
        cleanrl_td3,
        cleanrl_sac,
        sample_factory,
        sample_factory_discrete,
        torchrl,
        torchrl_halves,
        named,
    )
}
