from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from policypress.agents.onnx_reading.interface import interface_of
from policypress_runtime.contract import Discrete, MultiDiscrete, Space, box
from policypress_runtime.errors import UndeterminedAgentError, UnsupportedAgentError

Ends = dict[str, list[int | str]]
W = np.ones((6, 4), np.float32)
BOX4 = box((4,), "float32", -np.inf, np.inf)


def model_of(
    nodes: list[str], outputs: Ends, inputs: Ends | None = None, integers: tuple[str, ...] = ()
) -> onnx.ModelProto:
    """Nodes as ``Operator: reads > gives``; constants ``w`` (6, 4), ``one`` 1 and ``s`` (4, 1)."""
    made = []
    for text in nodes:
        kind, _, ends = text.partition(": ")
        reads, gives = (part.split() for part in ends.split(" > "))
        extra = (
            {"hidden_size": 3} if kind in ("LSTM", "GRU") else {"axis": 1, "keepdims": 0} if kind == "ArgMax" else {}
        )
        made.append(
            helper.make_node(kind, ["" if r == "-" else r for r in reads], gives, name=f"n_{gives[0]}", **extra)
        )
    kinds = {name: TensorProto.INT64 if name in integers else TensorProto.FLOAT for name in outputs}
    given = {"obs": ["n", 6], **(inputs or {})}
    constants = {"w": W, "one": np.float32([1.0]), "s": np.ones((4, 1), np.float32), "axis": np.int64([1])}
    graph = helper.make_graph(
        made,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in given.items()],
        [helper.make_tensor_value_info(name, kinds[name], shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(v, name) for name, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def heads(*names: str, sizes: tuple[int, ...] | None = None) -> onnx.ModelProto:
    """One output per name, all of the same numbers; 4 wide, or of the sizes given."""
    shapes = {name: ["n", size] for name, size in zip(names, sizes or [4] * len(names), strict=True)}
    return model_of(["MatMul: obs w > a", *(f"Mul: a one > {name}" for name in names)], shapes)  # type: ignore[arg-type]


NAMED = {
    "value action log_std": "action",
    "value mean": "mean",
    "vf pi": "pi",
    "v output": "output",
    "values q_values": "q_values",
    "log_prob logits value": "logits",
    "Values Actions": "Actions",
    "continuous_actions deterministic_continuous_actions": "deterministic_continuous_actions",
    "sampled_action mu": "mu",
    "version_number 17": "17",
    "std 17": "17",
    "h_out out": "out",
    "action_std action_mean": "action_mean",
}


@pytest.mark.parametrize("names", NAMED)
def test_the_action_is_chosen_by_name_and_told(names: str) -> None:
    ends = interface_of(heads(*names.split()))
    assert ends.action == NAMED[names]
    assert ends.inputs == ("obs",)
    (notice,) = ends.notices
    assert f"{NAMED[names]!r} of the ONNX file is taken as the action" in notice
    assert all(repr(name) in notice for name in names.split())
    assert "--output-name" in notice


def test_a_single_output_is_it_whatever_its_name() -> None:
    for name in ("17", "foo", "log_probs", "sampled_action"):
        ends = interface_of(heads(name))
        assert ends.action == name
        assert ends.notices == (f"The output {name!r} of the ONNX file is taken as the action.",)


@pytest.mark.parametrize("names", ["value", "value v", "log_std critic", "hidden", "log_prob"])
def test_names_that_say_it_is_no_action(names: str) -> None:
    model = heads(*names.split(), sizes=(1,) * len(names.split())) if names != "log_prob" else heads("log_prob", "v")
    if names == "log_prob":
        assert interface_of(model).action == "log_prob", "of all choices: these are scores"
        return
    with pytest.raises(UndeterminedAgentError, match="No output") as caught:
        interface_of(model)
    first = names.split()[0]
    assert f"--output-name {first}" in str(caught.value)
    assert interface_of(model, stated=first).action == first


@pytest.mark.parametrize("names", ["foo bar", "output_0 output_1", "continuous_actions discrete_actions"])
def test_several_that_could_be_it_are_listed(names: str) -> None:
    first, second = names.split()
    with pytest.raises(
        UndeterminedAgentError, match=r"(?s)Several.*\[batch, 4\].*\[batch, 4\].*--output-name"
    ) as caught:
        interface_of(heads(first, second, "value"))
    assert repr(first) in str(caught.value)
    assert repr(second) in str(caught.value)
    assert "'value'" not in str(caught.value)
    assert interface_of(heads(first, second), stated=second).action == second
    with pytest.raises(UndeterminedAgentError, match=r"(?s)no output of this name.*third.*\[batch, 4\]"):
        interface_of(heads(first, second), stated="third")


FITTING: dict[str, tuple[Space, str]] = {
    "box": (BOX4, "second"),
    "scores": (Discrete(4), "second"),
    "groups": (MultiDiscrete((2, 2)), "second"),
    "one": (box((1,), "float32", -1, 1), "first"),
}


@pytest.mark.parametrize("name", FITTING)
def test_where_names_do_not_tell_the_action_space_does(name: str) -> None:
    space, expected = FITTING[name]
    model = heads("first", "second", sizes=(1, 4))
    with pytest.raises(UndeterminedAgentError):
        interface_of(model)
    assert interface_of(model, actions=space).action == expected


def test_a_choice_among_unnamed_outputs_is_the_action() -> None:
    nodes = ["MatMul: obs w > 17", "ArgMax: 17 > 18"]
    assert interface_of(model_of(nodes, {"17": ["n", 4], "18": ["n"]}, integers=("18",))).action == "18"


def test_the_output_whose_log_probability_is_another() -> None:
    """As Stable-Baselines3's documentation exports a policy of one action: its value has the same shape."""
    nodes = ["MatMul: obs w > a", "MatMul: a s > m", "Mul: m one > 30", "Identity: m > 45", "ReduceSum: m axis > l"]
    nodes = [*nodes, "Squeeze: l axis > 51"]
    outputs: Ends = {"30": ["n", 1], "45": ["n", 1], "51": ["n"]}
    assert interface_of(model_of(nodes, outputs)).action == "45"
    # A value that scores are computed from (dueling) is not taken for it.
    nodes = ["MatMul: obs w > a", "MatMul: a s > 30", "Add: a 30 > 45"]
    with pytest.raises(UndeterminedAgentError):
        interface_of(model_of(nodes, {"30": ["n", 1], "45": ["n", 4]}))
    assert interface_of(model_of(nodes, {"30": ["n", 1], "45": ["n", 4]}), actions=Discrete(4)).action == "45"


def test_an_action_that_is_drawn_gives_way_to_its_mean() -> None:
    nodes = ["MatMul: obs w > mean", "RandomNormalLike: mean > r", "Add: mean r > action"]
    ends = interface_of(model_of(nodes, {"action": ["n", 4], "mean": ["n", 4]}))
    assert ends.action == "mean"
    assert interface_of(model_of(nodes, {"action": ["n", 4]})).action == "action"


def test_constants_are_no_actions() -> None:
    nodes = ["MatMul: obs w > 17", "Identity: one > 18"]
    assert interface_of(model_of(nodes, {"18": [1], "17": ["n", 4]})).action == "17"
    with pytest.raises(UnsupportedAgentError, match="depends on the observation"):
        interface_of(model_of(nodes, {"18": [1]}))


def test_inputs_that_the_action_does_not_need_are_told() -> None:
    nodes = ["MatMul: obs w > output", "Identity: state_ins > state_outs"]
    ends = interface_of(
        model_of(nodes, {"output": ["n", 4], "state_outs": ["n"]}, {"state_ins": ["n"], "masks": ["n", 9]})
    )
    assert (ends.action, ends.inputs) == ("output", ("obs",))
    assert "'state_outs'" in ends.notices[0]
    assert "'state_ins', 'masks'" in ends.notices[1]


def test_a_mask_that_the_action_needs_is_told() -> None:
    nodes = ["MatMul: obs w > a", "Mul: a action_masks > logits"]
    ends = interface_of(model_of(nodes, {"logits": ["n", 4]}, {"action_masks": ["n", 4]}))
    assert ends.inputs == ("obs", "action_masks")
    assert "'action_masks' masks actions" in ends.notices[1]


CELL = ["MatMul: obs w > a", "Add: a {i} > b", "Tanh: b > {o}", "Mul: {o} one > actions"]
RECURRENT = {
    "named": ("h_in", "h_out", [1, 4]),
    "one name": ("h_in", "y2", ["n", 4]),
    "other name": ("x", "hidden", ["n", 4]),
    "no name": ("x", "y2", ["n", 4]),
    "names, other shapes": ("memory_in", "memory_out", ["n", "m"]),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_a_state_that_is_carried_is_one_by_its_names(name: str) -> None:
    taken, given, shape = RECURRENT[name]
    nodes = [text.format(i=taken, o=given) for text in CELL]
    model = model_of(nodes, {"actions": ["n", 4], given: shape}, {taken: ["n", 4] if name != "named" else shape})
    if name == "no name":
        with pytest.raises(
            UnsupportedAgentError, match=f"(?s)recurrent.*inputs '{taken}' are carried from outputs '{given}'"
        ):
            interface_of(model)
        return
    ends = interface_of(model)
    assert (ends.action, ends.inputs, ends.states) == ("actions", ("obs",), ((taken, given),))
    assert any(f"memory: '{taken}' -> '{given}'" in notice for notice in ends.notices)


def test_states_pair_by_their_names() -> None:
    nodes = ["MatMul: obs w > a", "Add: a h_in > h_out", "Add: h_out c_in > c_out", "Identity: c_out > actions"]
    shapes: Ends = {"actions": ["n", 4], "h_out": ["n", 4], "c_out": ["n", 4]}
    model = model_of(nodes, shapes, {"h_in": ["n", 4], "c_in": ["n", 4]})
    assert interface_of(model).states == (("h_in", "h_out"), ("c_in", "c_out"))


def test_a_state_may_be_needed_by_another_alone() -> None:
    nodes = ["MatMul: obs w > a", "Add: a h_in > h_mid", "Add: h_mid c_in > h_out", "Identity: c_in > c_out"]
    nodes += ["Add: a h_in > actions"]
    shapes: Ends = {"actions": ["n", 4], "h_out": ["n", 4], "c_out": ["n", 4]}
    model = model_of(nodes, shapes, {"h_in": ["n", 4], "c_in": ["n", 4]})
    assert interface_of(model).states == (("h_in", "h_out"), ("c_in", "c_out"))
    assert interface_of(model).inputs == ("obs",)


def test_shapes_alone_leave_the_user_the_last_word() -> None:
    nodes = [text.format(i="goal", o="y2") for text in CELL]
    model = model_of(nodes, {"actions": ["n", 4], "y2": ["n", 4]}, {"goal": ["n", 4]})
    with pytest.raises(UnsupportedAgentError, match=r"(?s)by their shapes.*--output-name NAME"):
        interface_of(model)
    assert interface_of(model, stated="actions").inputs == ("obs", "goal")
    nodes = [text.format(i="h_in", o="y2") for text in CELL]
    model = model_of(nodes, {"actions": ["n", 4], "y2": ["n", 4]}, {"h_in": ["n", 4]})
    assert interface_of(model, stated="actions").states == (("h_in", "y2"),)


def test_other_heads_of_the_shape_of_an_input_are_no_state() -> None:
    nodes = ["MatMul: obs w > a", "Add: a prev_actions > actions", "Mul: actions one > log_std", "Mul: a one > mean"]
    shapes: Ends = {"actions": ["n", 4], "log_std": ["n", 4], "mean": ["n", 4]}
    assert interface_of(model_of(nodes, shapes, {"prev_actions": ["n", 4]})).inputs == ("obs", "prev_actions")


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_operators_are_called_recurrent(kind: str) -> None:
    nodes = ["MatMul: obs w > a", f"{kind}: a w w > h", "Tanh: h > actions"]
    with pytest.raises(UnsupportedAgentError, match=f"(?s)recurrent.*{kind} at node 'n_h'"):
        interface_of(model_of(nodes, {"actions": ["n", 3]}))
    # What the action does not need may be recurrent.
    nodes = ["MatMul: obs w > actions", f"{kind}: actions w w > h"]
    assert interface_of(model_of(nodes, {"actions": ["n", 4], "value": ["n", 3]})).action == "actions"


def test_inner_graphs_and_functions_are_looked_into() -> None:
    inner = helper.make_graph(
        [helper.make_node("LSTM", ["a", "w", "w"], ["inside"], hidden_size=3)],
        "inner",
        [],
        [helper.make_tensor_value_info("inside", TensorProto.FLOAT, None)],
    )
    model = model_of(["MatMul: obs w > a", "Identity: a > actions"], {"actions": ["n", 4]})
    model.graph.node[1].CopyFrom(helper.make_node("If", ["flag"], ["actions"], then_branch=inner, else_branch=inner))
    with pytest.raises(UnsupportedAgentError, match="LSTM"):
        interface_of(model)
    body = [helper.make_node("GRU", ["x", "w", "w"], ["y"], hidden_size=3)]
    function = helper.make_function("f", "Cell", ["x", "w"], ["y"], body, [helper.make_opsetid("", 17)])
    model = model_of(["MatMul: obs w > a"], {"actions": ["n", 4]})
    model.functions.append(function)
    model.graph.node.append(helper.make_node("Cell", ["a", "w"], ["actions"], domain="f"))
    with pytest.raises(UnsupportedAgentError, match="GRU"):
        interface_of(model)


def test_too_many_ends() -> None:
    with pytest.raises(UnsupportedAgentError, match="too many"):
        interface_of(heads(*(f"y{i}" for i in range(300))))


def test_names_of_the_file_are_escaped_and_shortened() -> None:
    ends = interface_of(heads("\x1b actions", "x" * 5000))
    assert "\x1b" not in "".join(ends.notices)
    assert max(map(len, ends.notices)) < 400
    with pytest.raises(UndeterminedAgentError) as caught:
        interface_of(heads("a;b", "x" * 5000))
    assert "--output-name 'a;b'" in str(caught.value)
    assert len(str(caught.value)) < 1000
