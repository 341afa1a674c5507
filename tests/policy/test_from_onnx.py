from __future__ import annotations

import io
import logging
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from onnx import TensorProto, helper
from onnx_models import (
    ANY_ACTION,
    GEMM,
    TOLERANCE,
    VECTOR,
    B,
    W,
    bundle_of,
    kinds,
    model_of,
    names,
    node,
    observe,
    run_file,
    run_policy,
)
from random_networks import Plan, build, plans
from torch import Tensor, nn

from policypress.agents.bundle import Normaliser, OnnxNetwork
from policypress.environments.spaces import from_gymnasium
from policypress.policy.importers.from_onnx import from_onnx
from policypress.policy.observation_layers import channel_last
from policypress.policy.policy import Policy
from policypress.policy.self_check import sample_observations
from policypress.writers.onnx_writer import contract_of, embed_contract, to_onnx
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete, Space, box
from policypress_runtime.errors import NetworkError, UnsupportedAgentError


def exported(module: nn.Module, observations: Space, *, dynamo: bool, opset: int) -> bytes:
    """``module`` as torch.onnx writes it, with a free batch."""
    arrays = sample_observations(observations, 2, {})
    tensors = {key: torch.from_numpy(values) for key, values in arrays.items()}
    buffer = io.BytesIO()
    example: tuple[Any, ...] = (tensors[""],) if "" in tensors else (tensors, {})
    keys = ["obs"] if "" in tensors else list(tensors)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter: deprecations and types of its own
        if dynamo:
            free = {0: torch.export.Dim.AUTO}
            shapes = (free,) if "" in tensors else (dict.fromkeys(tensors, free),)
            program = torch.onnx.export(
                module,
                (example[0],) if "" in tensors else (),
                kwargs=None if "" in tensors else {"observation": tensors},
                dynamo=True,
                opset_version=opset,
                input_names=keys,
                dynamic_shapes=shapes if "" in tensors else {"observation": shapes[0]},
                verbose=False,
            )
            assert program is not None
            program.save(buffer)
        else:
            axes = {name: {0: "n"} for name in keys}
            torch.onnx.export(
                module, example, buffer, dynamo=False, opset_version=opset, input_names=keys, dynamic_axes=axes
            )
    return buffer.getvalue()


def assert_is_module(plan: Plan, *, dynamo: bool, opset: int) -> None:
    case = build(plan)
    policy = from_onnx(
        bundle_of(exported(case.module, case.observations, dynamo=dynamo, opset=opset), case.observations, case.actions)
    )
    observations = observe(case.observations)
    tensors = {key: torch.from_numpy(values) for key, values in observations.items()}
    with torch.no_grad():
        expected = case.module(tensors.get("", tensors)).numpy()
    got = run_policy(policy, observations)
    if isinstance(case.actions, Discrete):
        assert np.array_equal(got, expected.argmax(1) + case.actions.start)
    else:
        expected = np.clip(expected, -1.0, 0.5)
        assert np.all(np.abs(got - expected) <= TOLERANCE * (1 + np.abs(expected)))


@given(plans)
@settings(max_examples=3)
def test_what_torch_exports(plan: Plan) -> None:
    pytest.importorskip("onnxscript", reason="torch's exporter needs it")
    assert_is_module(plan, dynamo=True, opset=18)


@given(plans)
@settings(max_examples=25)
def test_what_torch_exported_formerly(plan: Plan) -> None:
    assert_is_module(plan, dynamo=False, opset=17 if plan.flag else 13)


def test_activations_that_are_spelled_out_are_recognised() -> None:
    torch.manual_seed(0)
    activations = [nn.GELU(), nn.SiLU(), nn.Mish(), nn.Softsign(), nn.Hardswish(), nn.GELU("tanh")]
    network = nn.Sequential(*[layer for act in activations for layer in (nn.Linear(6, 6), act)], nn.Linear(6, 4))
    policy = from_onnx(bundle_of(exported(network, VECTOR, dynamo=False, opset=13), VECTOR, ANY_ACTION))
    expected = ["gelu", "silu", "mish", "softsign", "hardswish", "gelu_tanh"]
    assert names(policy) == [part for name in expected for part in ("Linear", name)] + ["Linear"]


def test_only_the_action_is_translated() -> None:
    nodes = [
        GEMM,
        node("Sigmoid", "h", "s"),
        node("Bernoulli", "s", "values"),
        node("CumSum", "h one", "log_prob"),
        node("Tanh", "h", "actions"),
    ]
    model = model_of(nodes, {"one": np.int64(1)}, outputs=("values", "actions", "log_prob"))
    policy = from_onnx(bundle_of(model, VECTOR, Box((4,), "float32", (-0.5,), (0.5,))))
    assert kinds(policy) == ["Linear", "Activation", "Clip"]


def test_a_file_with_a_batch_of_one() -> None:
    nodes = [
        GEMM,
        node("Reshape", "h shape", "p"),
        node("ReduceMax", "p", "q", axes=[2]),
        node("Reshape", "q flat", "y"),
    ]
    constants = {"shape": np.int64([1, 2, 2]), "flat": np.int64([1, 2])}
    model = model_of(nodes, constants, shape=(1, 6))
    policy = from_onnx(bundle_of(model, VECTOR, box((2,), "float32", -np.inf, np.inf)))
    observations = observe(VECTOR)[""]
    expected = np.concatenate([run_file(model, row[None], "y") for row in observations])
    assert np.allclose(run_policy(policy, {"": observations}), expected, rtol=TOLERANCE, atol=TOLERANCE)


CHOICES: dict[str, tuple[list[onnx.NodeProto], Space, int]] = {
    "argmax": ([GEMM, node("ArgMax", "h", "y", axis=1, keepdims=0)], Discrete(4), TensorProto.INT64),
    "kept": (
        [
            GEMM,
            node("Softmax", "h", "p"),
            node("ArgMax", "p", "q", axis=-1),
            node("Cast", "q", "y", to=TensorProto.INT32),
        ],
        Discrete(4),
        TensorProto.INT32,
    ),
    "from_log_probabilities": (
        [
            GEMM,
            node("ReduceLogSumExp", "h", "n", axes=[1]),
            node("Sub", "h n", "l"),
            node("Softmax", "l", "p"),
            node("ArgMax", "p", "y", axis=1, keepdims=0),
        ],
        Discrete(4),
        TensorProto.INT64,
    ),
    "scores": ([node("Gemm", "obs w b", "y")], Discrete(4, start=3), TensorProto.FLOAT),
    "several": (
        [
            GEMM,
            node("Split", "h", "p q", axis=1),
            node("ArgMax", "p", "r", axis=1),
            node("ArgMax", "q", "s", axis=1),
            node("Concat", "r s", "y", axis=1),
        ],
        MultiDiscrete((2, 2)),
        TensorProto.INT64,
    ),
    "bits": ([GEMM, node("Sigmoid", "h", "p"), node("Round", "p", "y")], MultiBinary(4), TensorProto.FLOAT),
    "above": (
        [GEMM, node("Greater", "h zero", "p"), node("Cast", "p", "y", to=TensorProto.INT8)],
        MultiBinary(4),
        TensorProto.INT8,
    ),
}


@pytest.mark.parametrize("name", CHOICES)
def test_discrete_actions(name: str) -> None:
    nodes, space, output_type = CHOICES[name]
    rank = 1 if nodes[-1].op_type == "ArgMax" else 2
    model = model_of(nodes, {"zero": np.float32(0)}, opset=13, output_type=output_type, output_rank=rank)
    policy = from_onnx(bundle_of(model, VECTOR, space))
    observation = observe(VECTOR, 50)[""]
    scores = observation @ W + B
    got = run_policy(policy, {"": observation})
    match space:
        case Discrete():
            assert np.array_equal(got, scores.argmax(1) + space.start)
            assert kinds(policy) == ["Linear", "ArgMax"]
        case MultiDiscrete():
            assert np.array_equal(got, np.stack([scores[:, :2].argmax(1), scores[:, 2:].argmax(1)], 1))
            assert kinds(policy) == ["Linear", "ArgMax"]
        case _:
            assert np.array_equal(got, scores > 0)
            assert kinds(policy) == ["Linear", "Threshold"]


class Sensors(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image, self.rest = nn.Conv2d(3, 2, 3, stride=2), nn.Linear(5 + 4 + 5, 3)

    def forward(self, observation: dict[str, Tensor]) -> Tensor:
        image = self.image(observation["camera"].permute(0, 3, 1, 2).float() / 255).mean(dim=(2, 3))
        parts = [image, observation["speed"], observation["dice"].float(), observation["bits"].float()]
        return self.rest(torch.cat([*parts, nn.functional.one_hot(observation["gear"], 4).float()], dim=1))


SENSORS = DictSpace(
    (
        ("bits", MultiBinary(3)),
        ("camera", box((8, 9, 3), "uint8", 0, 255)),
        ("dice", MultiDiscrete((3, 2))),
        ("gear", Discrete(4)),
        ("speed", box((3,), "float32", -5.0, 5.0)),
    )
)


@pytest.mark.parametrize("actions", [Box((3,), "float32", (-0.2,), (0.4,)), Discrete(3, start=1), MultiBinary(3)])
def test_our_own_artifacts_come_back_as_they_were(actions: Space) -> None:
    torch.manual_seed(0)
    normaliser = {"speed": Normaliser(np.array([1e3, 2.0, -1.0]), np.array([9.0, 1.0, 0.1]), 1e-8, 5.0)}
    first = Policy.from_module(Sensors(), SENSORS, actions, normaliser)
    model = to_onnx(first)
    embed_contract(model, contract_of(first, "none", "", "fp32", "0.1.0"))
    again = from_onnx(bundle_of(model, SENSORS, actions))
    if isinstance(actions, Discrete):  # what the file gives is the action, whatever the space's start
        recounted = from_onnx(bundle_of(model, SENSORS, Discrete(3)))
        assert recounted.layers["argmax"].start == actions.start
    observations = sample_observations(SENSORS, 20, normaliser, seed=5)
    assert np.allclose(run_policy(first, observations), run_policy(again, observations), rtol=1e-6, atol=1e-6)
    assert again.folded() == first.folded()
    assert again.origin.algorithm == "module"
    assert kinds(again)[-1] == kinds(first)[-1]


def test_one_hot_encodings_come_back() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows = nn.Embedding(5, 3)

        def forward(self, index: Tensor) -> Tensor:
            return self.rows(index)

    space, actions = Discrete(5), box((3,), "float32", -np.inf, np.inf)
    first = Policy.from_module(Table(), space, actions)
    again = from_onnx(bundle_of(to_onnx(first), space, actions))
    assert kinds(first) == kinds(again) == ["OneHot", "Linear"]
    index = {"": np.arange(5)}
    assert np.array_equal(run_policy(first, index), run_policy(again, index))
    gathered = model_of([node("Gather", "table obs", "y")], {"table": W}, shape=("n",), dtype=TensorProto.INT64)
    policy = from_onnx(bundle_of(gathered, Discrete(6), ANY_ACTION))
    assert np.array_equal(run_policy(policy, {"": np.arange(6)}), W)


def test_images_are_transposed_for_a_file_that_takes_channels_first() -> None:
    first = box((3, 7, 9), "uint8", 0, 255)
    nodes = [node("GlobalAveragePool", "obs", "p"), node("Flatten", "p", "y")]
    model = model_of(nodes, shape=("n", 3, 7, 9))
    actions = box((3,), "float32", -np.inf, np.inf)
    image = observe(channel_last(first))[""]
    asked = from_onnx(bundle_of(model, first, actions), transposed_keys=("",))
    found = from_onnx(bundle_of(model, channel_last(first), actions))
    assert np.allclose(run_policy(asked, {"": image}), image.mean(axis=(1, 2)), rtol=1e-5)
    assert np.array_equal(run_policy(found, {"": image}), run_policy(asked, {"": image}))
    assert "transpose_image" in found.folded()


BIG = {"big": np.int64([100_000, 100_000])}
AXIS, WIDE = {"axis": np.int64([2])}, {"wide": np.int64([1, 6, 10**9])}
REFUSED: dict[str, tuple[onnx.ModelProto, str]] = {
    "unknown": (model_of([GEMM, node("CumSum", "h one", "y")], {"one": np.int64(1)}), "CumSum at node 'the_CumSum_y'"),
    "quantized": (
        model_of(
            [node("QuantizeLinear", "obs s z", "q"), node("DequantizeLinear", "q s z", "y")],
            {"s": np.float32(1), "z": np.int8(0)},
        ),
        "already quantized.*QuantizeLinear.*fp32 file",
    ),
    "random": (
        model_of([GEMM, node("RandomNormalLike", "h", "r"), node("Add", "h r", "y")]),
        "RandomNormalLike.*random",
    ),
    "huge": (
        model_of(
            [GEMM, node("ConstantOfShape", "big", "c"), node("ReduceMax", "c", "m"), node("Mul", "h m", "y")], BIG
        ),
        r"ConstantOfShape.*shape \[100000, 100000\]",
    ),
    "huge_expansion": (
        model_of([node("Unsqueeze", "obs axis", "p"), node("Expand", "p wide", "y")], {**AXIS, **WIDE}),
        "Expand.*grows",
    ),
    "over_the_batch": (model_of([GEMM, node("ReduceMean", "h", "p", axes=[0]), node("Add", "h p", "y")]), "batch"),
    "transposed": (model_of([GEMM, node("Transpose", "h", "y")]), "batch"),
    "two_unknowns": (
        model_of([GEMM, node("Unsqueeze", "h axis", "p"), node("MatMul", "p p", "y")], {"axis": np.int64([1])}),
        "MatMul",
    ),
    "not_the_observation": (model_of([node("Tanh", "b", "y")]), "depends on the observation.*'y'"),
    "shape": (model_of([node("Gemm", "obs v b", "y")], {"v": W[:5]}, shape=("n", 5)), "does not fit the observation"),
    "no_batch": (
        model_of([node("MatMul", "obs obs", "p"), node("Mul", "p b", "y")], shape=(6,)),
        r"no batch axis.*'obs' \[6\]; MatMul at node 'the_MatMul_p'.*obs\[None\]",
    ),
    "integers": (
        model_of([node("Cast", "obs", "p", to=1), node("Gemm", "p w b", "y")], dtype=TensorProto.INT64),
        "takes integers",
    ),
    "width": (model_of([node("Identity", "obs", "y")]), r"\(6,\).*\(4,\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_and_how_it_is_named(name: str) -> None:
    model, message = REFUSED[name]
    with pytest.raises((NetworkError, UnsupportedAgentError), match=f"(?s){message}"):
        from_onnx(bundle_of(model, VECTOR, ANY_ACTION))


def test_old_opsets_and_foreign_domains_are_refused() -> None:
    with pytest.raises(NetworkError, match="opset 8"):
        from_onnx(bundle_of(model_of([node("Gemm", "obs w b", "y")], opset=8), VECTOR, ANY_ACTION))
    model = model_of([node("Gemm", "obs w b", "y")])
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(NetworkError, match=r"com\.example"):
        from_onnx(bundle_of(model, VECTOR, ANY_ACTION))


def test_inputs_that_are_no_keys() -> None:
    model = model_of([node("Gemm", "obs w b", "y")])
    space = DictSpace((("left", VECTOR), ("right", VECTOR)))
    with pytest.raises(NetworkError, match="left, right"):
        from_onnx(bundle_of(model, space, ANY_ACTION))


def test_inputs_that_the_action_needs_besides_the_observation() -> None:
    model = masked()
    with pytest.raises(NetworkError, match=r"(?s)obs.*action_mask.*scores before the mask 'action_mask'"):
        from_onnx(bundle_of(model, VECTOR, Discrete(4)))
    space = DictSpace((("obs", VECTOR), ("action_mask", box((4,), "float32", -np.inf, np.inf))))
    policy = from_onnx(bundle_of(model, space, Discrete(4)))
    rows = {"obs": observe(VECTOR, 20)[""], "action_mask": np.float32([[1, 0, 1, 0]] * 20)}
    scores = rows["obs"] @ W + B + (rows["action_mask"] - 1) * np.float32(1e8)
    assert np.array_equal(run_policy(policy, rows), scores.argmax(1))
    model.graph.input[1].name = model.graph.node[1].input[0] = "goal"
    with pytest.raises(NetworkError, match=r"(?s)obs.*goal.*without --env"):
        from_onnx(bundle_of(model, VECTOR, Discrete(4)))


def masked() -> onnx.ModelProto:
    """As ML-Agents does it: what is not allowed is lowered by 1e8 before the choice."""
    constants = {"one": np.float32(1), "far": np.float32(1e8)}
    nodes = [
        GEMM,
        node("Sub", "action_mask one", "m"),
        node("Mul", "m far", "n"),
        node("Add", "h n", "logits"),
        node("ArgMax", "logits", "discrete_actions", axis=1),
    ]
    model = model_of(
        [*nodes[:1], node("ArgMax", "h", "discrete_actions", axis=1)],
        output_type=TensorProto.INT64,
        outputs=("discrete_actions",),
    )
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in constants.items())
    model.graph.input.append(helper.make_tensor_value_info("action_mask", TensorProto.FLOAT, ["n", 4]))
    onnx.checker.check_model(model)
    return model


def test_what_the_action_does_not_need_is_no_part_of_the_policy() -> None:
    nodes = [
        GEMM,
        node("Tanh", "h", "output"),
        node("Identity", "state_ins", "state_outs"),
        node("Mul", "unused unused", "square"),
    ]
    model = model_of([GEMM, node("Tanh", "h", "output")], outputs=("output",))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.input.append(helper.make_tensor_value_info("state_ins", TensorProto.FLOAT, ["n"]))
    model.graph.input.append(helper.make_tensor_value_info("unused", TensorProto.STRING, ["n", "m"]))
    model.graph.output.append(helper.make_tensor_value_info("state_outs", TensorProto.FLOAT, ["n"]))
    policy = from_onnx(bundle_of(model, VECTOR, ANY_ACTION))
    observations = observe(VECTOR, 9)[""]
    assert np.allclose(run_policy(policy, {"": observations}), np.tanh(observations @ W + B), atol=TOLERANCE)


def test_a_normaliser_beside_the_file() -> None:
    normaliser = Normaliser(np.arange(6.0), np.full(6, 4.0), 0.0, 2.0)
    policy = from_onnx(bundle_of(model_of([node("Gemm", "obs w b", "y")]), VECTOR, ANY_ACTION, {"": normaliser}))
    raw = np.zeros((1, 6), np.float32)
    expected = np.clip((raw - np.arange(6.0)) / 2.0, -2, 2) @ W + B
    assert np.allclose(run_policy(policy, {"": raw}), expected, atol=1e-5)


class Onnxable(nn.Module):
    """The wrapper that Stable-Baselines3's documentation recommends for exporting."""

    def __init__(self, policy: nn.Module) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.policy(observation, deterministic=True)


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "dqn", "sac"])
def test_files_as_the_documentation_of_stable_baselines3_exports_them(algorithm: str, fixed: bool) -> None:
    import gymnasium
    import stable_baselines3 as sb3

    torch.manual_seed(0)
    name = {"ppo": "CartPole-v1", "a2c": "Pendulum-v1", "dqn": "CartPole-v1", "sac": "Pendulum-v1"}[algorithm]
    env = gymnasium.make(name)
    kind = {"ppo": sb3.PPO, "a2c": sb3.A2C, "dqn": sb3.DQN, "sac": sb3.SAC}[algorithm]
    model = kind("MlpPolicy", env, device="cpu", policy_kwargs={"net_arch": [16, 16]})
    parts = {"dqn": "q_net", "sac": "actor"}
    network = getattr(model.policy, parts[algorithm]) if algorithm in parts else model.policy
    wrapped = network if algorithm == "dqn" else Onnxable(network)
    space, actions = from_gymnasium(env.observation_space), from_gymnasium(env.action_space)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter: deprecations and types of its own
        observation = torch.randn(1, *env.observation_space.shape)
        axes = None if fixed else {"input": {0: "batch"}}
        torch.onnx.export(
            wrapped, observation, buffer, dynamo=False, opset_version=17, input_names=["input"], dynamic_axes=axes
        )
    bundle = bundle_of(buffer.getvalue(), space, actions)
    if algorithm == "sac":  # its actor gives squashed actions; that they stand for the bounds is the user's to say
        (notice,) = from_onnx(bundle).origin.notices
        assert "-2 to 2" in notice
        assert "--scale-actions" in notice
        bundle = replace(bundle, network=OnnxNetwork(buffer.getvalue(), scale_actions=True))
    policy = from_onnx(bundle)
    observations = observe(space, 30)[""]
    expected = model.predict(observations, deterministic=True)[0]
    got = run_policy(policy, {"": observations})
    assert np.allclose(got, expected, rtol=TOLERANCE, atol=TOLERANCE)
    assert kinds(policy)[:4] == ["Linear", "Activation", "Linear", "Activation"]
    assert len(kinds(policy)) == (8 if algorithm == "sac" else 6)
    assert policy.folded() == {"sac": ("squash", "unscale", "clip"), "a2c": ("clip",)}.get(algorithm, ("argmax",))
