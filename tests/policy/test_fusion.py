from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from policypress.policy.importers import fusion
from policypress.policy.importers.fusion import Step, fuse, new_conv, new_linear
from policypress.policy.layers import Activation, Affine, Conv2d, Linear


def chain(*layers: nn.Module) -> dict[str, Step]:
    names = ["x", *(f"s{i}" for i in range(len(layers)))]
    return {names[i + 1]: Step("step", layer, (names[i],)) for i, layer in enumerate(layers)}


def run(steps: dict[str, Step], x: torch.Tensor) -> torch.Tensor:
    values = {"x": x}
    with torch.no_grad():
        for name, step in steps.items():
            values[name] = step.layer(*(values[read] for read in step.inputs))
    return values[name]


def linear() -> Linear:
    return new_linear(torch.arange(6.0).reshape(3, 2), torch.tensor([1.0, 2.0, 3.0]))


def conv() -> Conv2d:
    weight = torch.arange(24.0).reshape(3, 2, 2, 2)
    return new_conv(weight, None, stride=(1, 2), padding=(0, 1), dilation=(1, 1), groups=1)


def test_factors_and_offsets_go_into_the_weights() -> None:
    steps = chain(linear(), Affine([2.0, 3.0, 4.0]), Affine(shift=0.5), Activation("relu"))
    fused = fuse(steps, ("s3",))
    assert [type(step.layer) for step in fused.values()] == [Linear, Activation]
    x = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    assert torch.allclose(run(fused, x), run(steps, x))


def test_channels_of_a_convolution() -> None:
    scale, shift = np.array([1.0, -2.0, 0.5]).reshape(3, 1, 1), np.ones((3, 1, 1))
    steps = chain(conv(), Affine(scale, shift))
    fused = fuse(steps, ("s1",))
    assert [type(step.layer) for step in fused.values()] == [Conv2d]
    x = torch.randn(2, 2, 4, 6, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(run(fused, x), run(steps, x), atol=1e-5)


@pytest.mark.parametrize("affine", [Affine(np.ones((3, 3, 4)) * 2.0), Affine([1.0, 2.0, 3.0, 4.0])])
def test_what_is_not_one_number_per_channel_stays(affine: Affine) -> None:
    assert len(fuse(chain(conv(), affine), ("s1",))) == 2


def test_a_value_that_is_read_twice_stays() -> None:
    steps = {**chain(linear(), Affine(2.0)), "other": Step("step", Activation("tanh"), ("s0",))}
    assert len(fuse(steps, ("s1", "other"))) == 3
    assert len(fuse(chain(linear(), Affine(2.0)), ("s0", "s1"))) == 2


def test_offsets_that_are_apart_for_precision_stay_apart() -> None:
    steps = chain(Affine(shift=-1e4), Affine(shift=-1e-4), Affine(3.0), Affine(shift=1.0))
    assert [type(step.layer) for step in fuse(steps, ("s3",)).values()] == [Affine, Affine, Affine]


def test_a_role_is_kept_and_dead_steps_are_dropped() -> None:
    steps = {**chain(linear(), Affine(2.0, role="scale_image")), "dead": Step("step", Activation("tanh"), ("s0",))}
    assert list(fuse(steps, ("s1",))) == ["s0", "s1"]


def test_a_long_chain_is_gone_through_twice_and_not_once_for_each_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    live = fusion._live

    def counted(steps: dict[str, Step], outputs: tuple[str, ...]) -> dict[str, Step]:
        passes.append(len(steps))
        return live(steps, outputs)

    monkeypatch.setattr(fusion, "_live", counted)
    steps = chain(linear(), *(Affine([1.01, 0.99, 1.0], shift=0.5) for _ in range(200)))
    fused = fuse(steps, ("s200",))
    assert [type(step.layer) for step in fused.values()] == [Linear]
    assert passes == [201, 1]
    x = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    assert torch.allclose(run(fused, x), run(steps, x), rtol=1e-3)


def test_what_others_read_or_the_caller_takes_stays() -> None:
    steps = chain(linear(), Affine(shift=0.5), Affine([2.0, 3.0, 4.0]))
    steps["other"] = Step("other", Activation("relu"), ("s0",))
    fused = fuse(steps, ("s2", "s1", "other"))
    assert list(fused) == ["s0", "s1", "s2", "other"]
    assert fused == steps
