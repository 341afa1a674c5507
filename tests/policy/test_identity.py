"""The fingerprint changes with what acts, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from small_policies import KINDS, VECTOR, cnn, mlp, observations_of, quantized

from policypress.policy import layers
from policypress.policy.identity import fingerprint
from policypress.policy.policy import Node, Policy
from policypress_runtime.contract import Discrete, MultiDiscrete, box


@pytest.mark.parametrize("kind", KINDS)
def test_same_network_same_fingerprint(kind: str) -> None:
    policy = KINDS[kind]()
    print_ = fingerprint(policy)
    assert len(print_) == 64
    other = policy.clone()
    other.origin = replace(policy.origin, sha256="elsewhere", algorithm="other")
    assert fingerprint(other) == print_
    assert fingerprint(KINDS[kind]()) == print_


def test_every_number_counts() -> None:
    policy = mlp()
    before = fingerprint(policy)
    seen = {before}
    for name, tensor in policy.state_dict().items():
        kept = tensor.clone()
        with torch.no_grad():
            tensor.view(-1)[-1] += 1e-3
        seen.add(fingerprint(policy))
        tensor.copy_(kept)
        assert fingerprint(policy) == before, name
    assert len(seen) == 1 + len(policy.state_dict())


def _normaliser_clip(policy: Policy) -> None:
    normalise = policy.layers["normalise"]
    assert isinstance(normalise, layers.Normalise)
    normalise.clip = 5.0


def _activation(policy: Policy) -> None:
    policy.layers["activation"] = layers.Activation("leaky_relu")


def _slope(policy: Policy) -> None:
    policy.layers["activation"] = layers.Activation("leaky_relu", negative_slope=0.3)


@pytest.mark.parametrize("change", [_normaliser_clip, _activation, _slope])
def test_settings_of_layers_count(change: Callable[[Policy], None]) -> None:
    policy = mlp()
    before = fingerprint(policy)
    change(policy)
    assert fingerprint(policy) != before


def test_settings_of_layers_without_numbers_count() -> None:
    """Two policies with equal tensors that act differently have two fingerprints."""
    pairs: list[tuple[torch.nn.Module, torch.nn.Module]] = [
        (layers.Transpose((0, 2, 1)), layers.Transpose((0, 1, 2))),
        (layers.Reshape((2, 3)), layers.Reshape((3, 2))),
        (layers.Concat(1), layers.Concat(2)),
        (layers.Slice(1, 0, 2), layers.Slice(1, 1, 3)),
        (layers.Binary("add"), layers.Binary("mul")),
        (layers.Pool2d("max", (2, 2), (2, 2)), layers.Pool2d("average", (2, 2), (2, 2))),
        (layers.Pool2d("max", (2, 2), (2, 2)), layers.Pool2d("max", (2, 2), (1, 1))),
        (layers.Mean((1,)), layers.Mean((2,))),
        (layers.Mean((1,)), layers.Mean((1,), keep=True)),
        (layers.Softmax(1), layers.Softmax(2)),
        (layers.ArgMax([4]), layers.ArgMax([4], start=1)),
        (layers.ArgMax([2, 2], single=False), layers.ArgMax([1, 3], single=False)),
        (layers.Activation("relu"), layers.Activation("tanh")),
        (layers.LayerNorm(3), layers.LayerNorm(3, eps=1e-3)),
        (layers.Conv2d(1, 1, 2, stride=1), layers.Conv2d(1, 1, 2, stride=2)),
    ]
    for left, right in pairs:
        right.load_state_dict(left.state_dict())
        prints = {
            fingerprint(Policy(VECTOR, VECTOR, {"a": layer}, (Node("a", ("observation",)),))) for layer in (left, right)
        }
        assert len(prints) == 2, type(left).__name__


def test_quantization_counts() -> None:
    """What is quantized and how is no parameter, and acts."""
    policy = mlp()
    observations = observations_of(policy.observation_space)
    variants = [
        policy,
        quantized(policy, observations),
        quantized(policy, observations, bits=7),
        quantized(policy, observations, weights=False),
        quantized(policy, observations, activations=False),
        quantized(policy, 2 * observations),
        quantized(policy, observations, outputs=True),
    ]
    assert len({fingerprint(variant) for variant in variants}) == len(variants)
    assert fingerprint(variants[1].clone()) == fingerprint(variants[1])


def test_spaces_count() -> None:
    assert fingerprint(mlp()) != fingerprint(mlp(box((3,), "float32", -1, 1)))
    assert fingerprint(mlp(Discrete(4))) != fingerprint(mlp(MultiDiscrete((4,))))
    assert fingerprint(cnn()) != fingerprint(cnn(transposed=True))
