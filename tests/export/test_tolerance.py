"""What right evaluations of quantized policies may differ by: one quantization step, ties."""

from __future__ import annotations

import numpy as np
import torch
from small_policies import ACTIONS, VECTOR, finished, mlp, observations_of, quantized, tensors_of

from policypress.export.tolerance import TIE_MARGIN, TIE_STEPS, step_bound, tie_slack, tied_rows
from policypress.policy import layers
from policypress.policy.policy import GraphBuilder, Policy
from policypress.policy.quantization import LayerQuant, QuantSpec
from policypress_runtime.contract import box

FREE = box((2,), "float32", -np.inf, np.inf)


def unmoved(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.zeros_like(value) for name, value in values.items()}


def one_layer(weight: list[list[float]], scale: float, bits: int = 8) -> Policy:
    graph = GraphBuilder()
    layer = layers.Linear(len(weight[0]), len(weight))
    graph.add("out", layer, "observation")
    policy = graph.policy(
        box((len(weight[0]),), "float32", -np.inf, np.inf), box((len(weight),), "float32", -9, 9), None
    )
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.zero_()
    layer.quant = LayerQuant(input=QuantSpec(bits, True, torch.tensor(scale), torch.tensor(0, dtype=torch.int32)))
    return policy


def test_step_bound_of_a_linear_layer() -> None:
    """One step in every input: s · Σ|w| for each output."""
    policy = one_layer([[1.0, -2.0], [0.5, 0.25]], 0.1)
    with torch.no_grad():
        values = policy.run(torch.zeros(3, 2))
    np.testing.assert_allclose(step_bound(policy, values), [[0.3, 0.075]] * 3, rtol=1e-6)


def test_step_bound_goes_through_what_follows() -> None:
    graph = GraphBuilder()
    hidden = graph.add("hidden", layers.Linear(5, 8), "observation")
    policy = finished(graph, VECTOR, ACTIONS["box"], hidden)
    pressed = quantized(policy, observations_of(VECTOR))
    with torch.no_grad():
        values = pressed.run(tensors_of(observations_of(VECTOR, 10)))
        bound = step_bound(pressed, values)
        free = values["out"]
    low, high = pressed.action_space.bounds()
    assert bound.shape == (10, 3)
    assert bool((bound > 0).all())
    # The squashed action moves by less than the bounds allow, and least where tanh is flat.
    assert bool((bound <= (high - low)).all())
    flat = np.abs(free.numpy())[:, 0].argmax()
    steep = np.abs(free.numpy())[:, 0].argmin()
    assert bound[flat, 0] <= bound[steep, 0]


def test_step_bound_holds_for_a_step_in_any_unit() -> None:
    """Moving the last layer's integers by one, in any direction, stays within the bound."""
    pressed = quantized(mlp(), observations_of(VECTOR))
    with torch.no_grad():
        values = pressed.clone().double().run(tensors_of(observations_of(VECTOR, 20)))
        double = pressed.clone().double()
        bound = step_bound(double, values)
        last = double.layers["out"]
        source = double.node("out").inputs[0]
        generator = torch.Generator().manual_seed(0)
        for _ in range(20):
            signs = torch.randint(-1, 2, values[source].shape, generator=generator)
            moved = double.replay(values, source, values[source] + signs * last.quant.input.scale)
            assert bool(((moved["unscale"] - values["unscale"]).abs().numpy() <= bound + 1e-9).all())


def test_without_quantization_there_is_no_step() -> None:
    policy = mlp()
    with torch.no_grad():
        values = policy.run(tensors_of(observations_of(VECTOR, 4)))
    assert not step_bound(policy, values).any()
    assert not tied_rows(policy, values, unmoved(values)).any()


def test_a_tie_is_as_wide_as_rounding_reaches() -> None:
    """10^6 - 10^6 + 0.2 is 0.2 of a step away from the middle in exact arithmetic, and anywhere in float32."""
    policy = one_layer([[1.0, 1.0]], 1.0).double()
    values = {"observation": torch.tensor([[0.3, 0.0]], dtype=torch.float64), "out": torch.zeros(1, 1)}
    reach = unmoved(values)
    assert tied_rows(policy, values, reach).tolist() == [False]
    reach["observation"] += 0.21
    assert tied_rows(policy, values, reach).tolist() == [True]


def test_ties() -> None:
    """Half a step ± the margin is a tie; beyond the integers' range it is not, and saturates either way."""
    policy = one_layer([[1.0, 1.0]], 0.5).double()
    steps = torch.tensor(
        [[0.5, 0.0], [3.0, -7.5], [0.5 + 0.5 * TIE_STEPS, 1.0], [0.5 + 2 * TIE_STEPS, 0.2], [0.1, 0.2], [1000.5, 0.0]],
        dtype=torch.float64,
    )
    values = {"observation": steps * 0.5, "out": torch.zeros(6, 1)}
    assert tied_rows(policy, values, unmoved(values)).tolist() == [True, True, True, False, False, False]


def test_a_tie_at_the_end_of_the_range_counts() -> None:
    policy = one_layer([[1.0]], 1.0, bits=4).double()
    values = {"observation": torch.tensor([[7.5], [-8.5], [6.5], [9.5]], dtype=torch.float64)}
    assert tied_rows(policy, values, unmoved(values)).tolist()[2] is True
    assert tied_rows(policy, values, unmoved(values)).tolist()[3] is False


def test_slack_of_ties_is_what_a_flip_does() -> None:
    """One tied value flips its integer: the output moves by one step times its weight; without a tie by nothing."""
    policy = one_layer([[3.0, 1.0]], 0.5).double()
    slack = tie_slack(policy, torch.tensor([[0.25, 1.0], [0.1, 0.2], [1.0, -0.75]]))
    np.testing.assert_allclose(slack, TIE_MARGIN * np.array([[1.5], [0.0], [0.5]]), atol=1e-9)


def test_slack_of_ties_is_zero_where_no_row_is_tied() -> None:
    pressed = quantized(mlp(), observations_of(VECTOR)).double()
    observations = tensors_of(observations_of(VECTOR, 200))
    with torch.no_grad():
        values = pressed.run(observations)
        tied = tied_rows(pressed, values, unmoved(values))
    slack = tie_slack(pressed, observations)
    assert tied.mean() < 0.2
    # Rows that are not tied by themselves have nothing to flip.
    assert slack[~tied].max() < 1e-9
