"""The graph of a traced module, translated operator by operator."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.export.graph_signature import InputKind, OutputKind

from policypress.policy.importers.assembly import BATCH, SUPPORTED, Assembly, Decision, Refused, Value
from policypress.policy.importers.aten import elementwise as aten_elementwise
from policypress.policy.importers.aten import shapes as aten_shapes
from policypress.policy.importers.aten import weighted as aten_weighted
from policypress.policy.importers.aten.registry import Arguments, flat, needed, translate
from policypress.policy.recurrence import aten_operators
from policypress.policy.recurrence.aten_operators import translate_moved
from policypress.policy.recurrence.moved import Moved, moved
from policypress_runtime.errors import NetworkError

FAMILIES = (aten_elementwise, aten_shapes, aten_weighted, aten_operators)
# What the exporter notes about types and sizes; it computes nothing.
_NOTES = ("aten::_assert_tensor_metadata", "aten::_assert_scalar", "aten::_assert_async", "aten::sym_constrain_range")
# Tagged as random for what they do in training; their translations refuse that case themselves.
_RANDOM_IN_TRAINING = {f"aten::{kind}dropout" for kind in ("", "native_", "alpha_", "feature_")} | {"aten::rrelu"}
_RANDOM_IN_TRAINING |= {"aten::lstm", "aten::gru", "aten::rnn_tanh", "aten::rnn_relu"}
HINT = (
    "Use a network of supported operators, or an ONNX file of one; what it remembers has to be an input and an output, "
    "which state= names."
)


def first_of(output: Any) -> Any:
    """The action among what a module returns: under its name in a dict, else the first of all."""
    if isinstance(output, Mapping):
        output = next((output[key] for key in ("action", "actions") if key in output), list(output.values()))
    while isinstance(output, list | tuple) and output:
        output = output[0]
    return output


class Translation:
    """Walks one exported graph and gives it to an assembly."""

    def __init__(self, assembly: Assembly, program: torch.export.ExportedProgram) -> None:
        self.assembly = assembly
        self.program = program
        self.values: dict[str, Any] = {}
        self.notices: tuple[str, ...] = ()

    def run(self, inputs: Sequence[Value | Moved], states: int) -> tuple[Value | Decision, list[Any]]:
        """Translate the whole graph: the action, and behind it the next values of ``states`` states."""
        self._bind(list(inputs))
        mutated = [s for s in self.program.graph_signature.output_specs if s.kind != OutputKind.USER_OUTPUT]
        if mutated:
            raise NetworkError(
                "The module has state: it changes a buffer when it acts.",
                got=str(mutated[0].target),
                expected="a feed-forward module",
                hint=HINT,
            )
        outputs = [getattr(spec.arg, "name", "") for spec in self.program.graph_signature.output_specs]
        name = self._action_name(outputs[0])
        others = [other for other in outputs if other != name]
        if others and not states:
            self.notices = (
                f"The module returns {len(outputs)} values; one is the action, and the others are left out.",
            )
        after = others[:states]
        wanted = set[str]().union(*(needed(self.program, one) for one in (name, *after)))
        for node in self.program.graph.nodes:
            if node.op == "call_function" and node.name in wanted:
                self.values[node.name] = self._call(node)
        result = self.values.get(name)
        if isinstance(result, Moved):
            raise NetworkError(
                "The network does not give its actions with the batch first.",
                got=f"the batch as axis {result.axis}",
                expected="the batch as the first axis",
                hint=HINT,
            )
        if not isinstance(result, Value | Decision):
            raise NetworkError("The module returns something that does not depend on the observation.", got=name)
        return result, [self.values.get(one) for one in after]

    def _action_name(self, first: str) -> str:
        """Name of the output that is the action: a dict may hold it in another place than the first."""
        names = [getattr(spec.arg, "name", "") for spec in self.program.graph_signature.output_specs]
        tree = self.program.call_spec.out_spec
        if tree is None or tree.num_leaves != len(names):
            return first
        return str(first_of(torch.utils._pytree.tree_unflatten(names, tree)))

    def _bind(self, observations: list[Value | Moved]) -> None:
        remaining = iter(observations)
        for spec in self.program.graph_signature.input_specs:
            name = getattr(spec.arg, "name", "")
            if spec.kind == InputKind.USER_INPUT:
                self.values[name] = next(remaining)
            elif spec.target is not None:
                stored = self.program.state_dict.get(spec.target, self.program.constants.get(spec.target))
                self.values[name] = stored.detach() if isinstance(stored, Tensor) else stored

    def _call(self, node: torch.fx.Node) -> Any:
        arguments = torch.fx.node.map_arg(list(node.args), lambda n: self.values[n.name])
        named = torch.fx.node.map_arg(dict(node.kwargs), lambda n: self.values[n.name])
        target = node.target
        try:
            if not isinstance(target, torch._ops.OpOverload):
                return self._python(target, list(arguments))
            return self._operator(target, list(arguments), dict(named))
        except Refused as refusal:
            raise NetworkError(
                "The network uses an operator in a way that is not supported.",
                got=f"{_label(target)} at {_place(node)}: {refusal}",
                expected=SUPPORTED,
                hint=HINT,
            ) from refusal

    def _python(self, target: Any, arguments: list[Any]) -> Any:
        if target is operator.getitem or all(isinstance(v, int | float | bool) for v in arguments):
            return target(*arguments)
        raise Refused("it computes with something that depends on the observation")

    def _operator(self, target: torch._ops.OpOverload, arguments: list[Any], named: Arguments) -> Any:
        name = target._schema.name
        if name in _NOTES:
            return None
        if name == "aten::sym_size":
            value, axis = arguments
            return moved(value).sizes[axis]
        if torch.Tag.nondeterministic_seeded in target.tags and name not in _RANDOM_IN_TRAINING:
            raise Refused("it is random")
        if not any(isinstance(v, Value | Moved | Decision) for v in flat([*arguments, *named.values()])):
            return target(*_without_batch(arguments), **dict(zip(named, _without_batch(named.values()), strict=True)))
        schema = target._schema.arguments
        bound = {a.name: a.default_value for a in schema if a.has_default_value()}
        bound |= {a.name: v for a, v in zip(schema, arguments, strict=False)} | named
        name = name.removeprefix("aten::")
        elsewhere = translate_moved(self.assembly, name, bound)
        return translate(self.assembly, name, bound) if elsewhere is None else elsewhere


def _without_batch(values: Any) -> list[Any]:
    """Sizes of a constant: 1 in place of the batch, so that it broadcasts."""
    result: list[Any] = []
    for value in values:
        if isinstance(value, list | tuple) and value and all(isinstance(v, int) for v in value):
            value = [1 if v == BATCH and i == 0 else v for i, v in enumerate(value)]
            if max(value) >= BATCH:
                raise Refused(_ANEW)
        elif isinstance(value, int) and value == BATCH:
            raise Refused("a constant that depends on the size of the batch")
        result.append(value)
    return result


_ANEW = (
    "a constant whose size depends on the batch elsewhere than in its first axis; if it is a state, it begins anew at "
    "every step: make it an input and an output"
)


def _label(target: Any) -> str:
    return str(target._schema.name).replace("::", ".") if isinstance(target, torch._ops.OpOverload) else str(target)


def _place(node: torch.fx.Node) -> str:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack:
        return "the module itself"
    path, kind = stack[-1]
    kind = kind if isinstance(kind, str) else kind.__name__
    return f"{path or 'the module itself'} ({kind.split('.')[-1]})"
