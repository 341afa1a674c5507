"""Which output of an ONNX file from elsewhere is the action, which inputs it needs, and what is left out.

One rule for the reader and for the translation: names first (:mod:`.output_names`), then what fits the action
space, then what the graph says; where several could be the action the user is asked.
"""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import onnx

from policypress.agents.archive import listing
from policypress.agents.onnx_reading.output_names import NEVER_THE_ACTION, Kind, is_mask, is_state, kind_of, words_of
from policypress_runtime.contract import Box, Discrete, MultiBinary, MultiDiscrete, Space
from policypress_runtime.errors import UndeterminedAgentError, UnsupportedAgentError

MOST_ENDS = 256
INTEGERS = (onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
CARRY_STATE = {"LSTM", "GRU", "RNN", "Scan", "Loop"}
RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
_VIEWS = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast"}


@dataclass(frozen=True)
class Interface:
    """What the ends of a graph mean.

    Args:
        action: name of the output that is the action.
        inputs: names of the inputs that it needs, in the file's order, without states.
        notices: for the user, about the choice.
        states: of a network with memory: inputs, each with the output that is its next value.
    """

    action: str
    inputs: tuple[str, ...]
    notices: tuple[str, ...]
    states: tuple[tuple[str, str], ...] = ()


def interface_of(
    model: onnx.ModelProto,
    *,
    stated: str | None = None,
    actions: Space | None = None,
    states: tuple[tuple[str, str], ...] | None = None,
) -> Interface:
    """The ends of ``model``.

    Args:
        model: a valid ONNX file.
        stated: the output that the user says is the action.
        actions: the action space, where it is known.
        states: what is carried, where a contract says it.

    Raises:
        UndeterminedAgentError: several outputs could be the action, or none by its name; or there is none so called.
        UnsupportedAgentError: no output, too many, or a state that is not among the inputs and outputs.
    """
    graph = _Graph(model)
    action = _stated(graph, stated) if stated is not None else _chosen(graph, actions)
    carried = _states(graph, action, stated is not None) if states is None else states
    ends = [action, *(given for _, given in carried)]
    needed = frozenset[str]().union(*(graph.before(name) for name in ends if name in graph.outputs))
    taken = [name for name, _ in carried]
    inputs = tuple(name for name in graph.inputs if name in needed and name not in taken)
    others = [name for name in graph.outputs if name not in ends]
    told = [f"The output {quoted(action)} of the ONNX file is taken as the action"]
    if others:
        told.append(f"left out: {listing(map(shortened, others), 6)} (--output-name names another)")
    notices = ["; ".join(told) + "."]
    unused = [name for name in graph.inputs if name not in needed]
    if unused and inputs:
        notices.append(f"The action does not need these inputs of the ONNX file: {listing(map(shortened, unused), 6)}.")
    if carried and states is None:
        pairs = ", ".join(f"{quoted(name)} -> {quoted(given)}" for name, given in carried)
        notices.append(f"The ONNX file has a memory: {pairs}; at the start of an episode it is taken as 0.")
    for name in inputs if len(inputs) > 1 else ():
        if is_mask(name):
            notices.append(f"The input {quoted(name)} masks actions; the caller of the artifact supplies it.")
    return Interface(action, inputs, tuple(notices), carried)


def shortened(name: str) -> str:
    """A name out of a file, short enough for a message."""
    return name if len(name) <= 60 else name[:57] + "..."


def quoted(name: str) -> str:
    """The same in quotes, control characters escaped."""
    return repr(shortened(name))


def shape_of(value: onnx.ValueInfoProto) -> tuple[int | None, ...] | None:
    """Sizes of an input or output, None where one is free; None where it has no shape."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in kind.shape.dim)


def described(value: onnx.ValueInfoProto) -> str:
    """Name and shape for a message."""
    shape = shape_of(value)
    sizes = "of unknown shape"
    if shape is not None:
        sizes = f"[{', '.join(str(size or ('?' if axis else 'batch')) for axis, size in enumerate(shape))}]"
    integers = " of integers" if value.type.tensor_type.elem_type in INTEGERS else ""
    return f"{quoted(value.name)} {sizes}{integers}"


class _Graph:
    """Ends and dependencies of a graph; functions and inner graphs need all that they read."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        weights = {tensor.name for tensor in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
        self.inputs = {value.name: value for value in graph.input if value.name not in weights}
        self.outputs = {value.name: value for value in graph.output}
        if not self.outputs or max(len(self.inputs), len(self.outputs)) > MOST_ENDS:
            raise UnsupportedAgentError(
                "The ONNX file has no output." if not self.outputs else "The ONNX file has too many inputs or outputs.",
                got=f"{len(self.inputs)} inputs and {len(self.outputs)} outputs",
                expected=f"an action, and at most {MOST_ENDS} of each",
            )
        self.producers = {name: node for node in graph.node for name in node.output if name}
        self._functions = {(f.domain, f.name): f for f in model.functions}
        self._before: dict[str, frozenset[str]] = {}

    def before(self, output: str) -> frozenset[str]:
        """Names of all values that ``output`` is computed from, itself included."""
        if output not in self._before:
            seen, waiting = {output}, [output]
            while waiting:
                node = self.producers.get(waiting.pop())
                for name in () if node is None else read_by(node):
                    if name and name not in seen:
                        seen.add(name)
                        waiting.append(name)
            self._before[output] = frozenset(seen)
        return self._before[output]

    def operators(self, values: Collection[str]) -> dict[str, str]:
        """Operators that give ``values``, inner graphs and functions included: a name of a node for each kind."""
        found: dict[str, str] = {}
        nodes = [self.producers[name] for name in values if name in self.producers]
        called: set[tuple[str, str]] = set()
        while nodes:
            node = nodes.pop()
            found.setdefault(node.op_type, node.name or node.output[0])
            nodes.extend(inner for graph in _inner(node) for inner in graph.node)
            key = (node.domain, node.op_type)
            if key in self._functions and key not in called:
                called.add(key)
                nodes.extend(self._functions[key].node)
        return found

    def seen_through(self, name: str) -> str:
        """The value that ``name`` is another view of."""
        while (node := self.producers.get(name)) is not None and node.op_type in _VIEWS and node.input:
            name = node.input[0]
        return name

    def size(self, name: str) -> int | None:
        """Numbers for each observation, if they are known: all sizes but the first."""
        shape = shape_of(self.outputs[name])
        if shape is None or (len(shape) == 1 and (shape[0] or 1) > 1):
            return None  # of a single axis it is not clear whether it is the batch
        known = [size for size in shape[1:] if size is not None]
        return math.prod(known) if len(known) == len(shape[1:]) else None

    def integer(self, name: str) -> bool:
        """Whether an output is of integers."""
        return self.outputs[name].type.tensor_type.elem_type in INTEGERS


def _inner(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        yield from ([attribute.g] if attribute.HasField("g") else [])
        yield from attribute.graphs


def read_by(node: onnx.NodeProto) -> Iterator[str]:
    """What a node reads; an inner graph may read any value of the graph around it."""
    yield from node.input
    for graph in _inner(node):
        for inner in graph.node:
            yield from read_by(inner)
        yield from (value.name for value in graph.output)


def _stated(graph: _Graph, name: str) -> str:
    if name in graph.outputs:
        return name
    raise UndeterminedAgentError(
        "The ONNX file has no output of this name.",
        got=f"--output-name {quoted(name)}",
        expected="; ".join(described(value) for value in list(graph.outputs.values())[:12]),
    )


def _chosen(graph: _Graph, actions: Space | None) -> str:
    depending = [name for name in graph.outputs if not graph.before(name).isdisjoint(graph.inputs)]
    if not depending:
        raise UnsupportedAgentError(
            "No output of the ONNX file depends on the observation.",
            got=f"the constants {listing(map(shortened, graph.outputs), 6)}",
            expected="an action that is computed from an input",
        )
    candidates = [name for name in depending if _may_be_the_action(graph, name)]
    if not candidates:
        raise _undetermined(graph, depending, "No output of the ONNX file has the name of an action.")
    fitting = [name for name in candidates if actions is not None and _fits(graph, name, actions)]
    candidates = fitting or candidates
    calm = [name for name in candidates if not RANDOM.intersection(graph.operators(graph.before(name)))]
    candidates = calm or candidates
    best = min(kind_of(name) for name in candidates)
    candidates = [name for name in candidates if kind_of(name) == best]
    if len(candidates) > 1:
        candidates = _by_structure(graph, candidates)
    if len(candidates) > 1:
        raise _undetermined(graph, candidates, "Several outputs of the ONNX file could be the action.")
    return candidates[0]


def _may_be_the_action(graph: _Graph, name: str) -> bool:
    kind = kind_of(name)
    if kind >= NEVER_THE_ACTION:
        return False
    # The probabilities of all choices are scores; that of the one which was chosen is not.
    return kind != Kind.LOG_PROBABILITIES or graph.size(name) not in (None, 1) or len(graph.outputs) == 1


def _fits(graph: _Graph, name: str, actions: Space) -> bool:
    size, integer = graph.size(name), graph.integer(name)
    if size is None:
        return True
    match actions:
        case Box():
            return not integer and size == actions.size
        case Discrete():
            return size == 1 if integer else size == actions.n
        case MultiDiscrete():
            return size == (len(actions.nvec) if integer else sum(actions.nvec))
        case MultiBinary():
            return size == actions.n
        case _:
            return True


def _by_structure(graph: _Graph, candidates: list[str]) -> list[str]:
    """Of outputs whose names tell nothing: a choice, or the one whose log-probability is another output."""
    chosen = [name for name in candidates if graph.integer(name)]
    if len(chosen) == 1:
        return chosen
    alone = [name for name in graph.outputs if len(shape_of(graph.outputs[name]) or ()) == 1]
    judged = [
        name
        for name in candidates
        if name not in alone and any(graph.seen_through(name) in graph.before(one) for one in alone)
    ]
    return judged if len(judged) == 1 else candidates


def _undetermined(graph: _Graph, names: list[str], message: str) -> UndeterminedAgentError:
    shown = "; ".join(described(graph.outputs[name]) for name in names[:12])
    typed = shlex.quote(names[0]) if names[0].isprintable() and len(names[0]) <= 60 else "NAME"
    return UndeterminedAgentError(
        message,
        got=shown + (f"; and {len(names) - 12} more" if len(names) > 12 else ""),
        expected="one output that is the action",
        hint=f"Say which one is the action: --output-name {typed}{'' if len(names) == 1 else ', or another of these'}.",
    )


def _states(graph: _Graph, action: str, stated: bool) -> tuple[tuple[str, str], ...]:
    """What is carried from one call to the next: inputs with the outputs that give their next values.

    Raises:
        UnsupportedAgentError: the action depends on a state that is not among the inputs and outputs; or shapes alone
            say that there is one.
    """
    needed, states = graph.before(action), tuple[tuple[str, str], ...]()
    while True:
        inputs = tuple(name for name in graph.inputs if name in needed)
        pairs, sure = ([], True) if len(inputs) < 2 else _pairs(graph, action, inputs, stated)
        if not sure:
            taken, given = (listing(map(shortened, names), 6) for names in zip(*pairs, strict=True))
            raise UnsupportedAgentError(
                "The ONNX file may be recurrent, and its names do not say so.",
                got=f"inputs {taken} are carried from outputs {given}, by their shapes",
                expected="names such as h_in and h_out for a state; an action that depends only on the observation",
                hint="Rename them, h_in and h_out, if they are a state. If it has no memory, say which output is the "
                "action: --output-name NAME.",
            )
        if len(pairs) == len(states):
            break
        # What a state's next value depends on may be a state as well.
        states = tuple(pairs)
        needed = needed.union(*(graph.before(given) for _, given in states))
    found = graph.operators(needed)
    operator = next((kind for kind in sorted(CARRY_STATE) if kind in found), None)
    if operator is not None and not states:
        raise UnsupportedAgentError(
            "The ONNX file is recurrent, and its state is not among its inputs and outputs.",
            got=f"{operator} at node {quoted(found[operator])}",
            expected="the state as an input, and its next value as an output: obs, h_in -> actions, h_out",
            hint="Export one step with its state: torch.onnx.export(network, (obs, h), input_names=['obs', 'h_in'], "
            "output_names=['actions', 'h_out']).",
        )
    return states


def _pairs(graph: _Graph, action: str, inputs: tuple[str, ...], stated: bool) -> tuple[list[tuple[str, str]], bool]:
    """Inputs that the action needs, each with the output that is its next value; and whether a name says so.

    By the names of both, the shapes need not be the same. By the name of one, or where the user has not said which
    output is the action by the shapes alone, they must be.
    """
    free = {name: kind_of(name) for name in graph.outputs if name != action}
    free = {name: kind for name, kind in free.items() if kind in (Kind.STATE, Kind.UNKNOWN, Kind.OUTPUT)}
    pairs: dict[str, str] = {}
    sure = False
    for names in (2, 1) if stated else (2, 1, 0):
        # The observation tends to be the first input; h_in goes with h_out.
        tried = sorted(itertools.product(inputs[::-1], free), key=lambda p: -len(words_of(p[0]) & words_of(p[1])))
        for taken, given in tried:
            if taken in pairs or given in pairs.values() or (free[given] == Kind.STATE) + is_state(taken) != names:
                continue
            if names == 2 or _same_shape(graph.inputs[taken], graph.outputs[given]):
                pairs[taken] = given
                sure = sure or names > 0
    return [(taken, pairs[taken]) for taken in inputs if taken in pairs], sure or not pairs


def _same_shape(taken: onnx.ValueInfoProto, given: onnx.ValueInfoProto) -> bool:
    first, second = shape_of(taken), shape_of(given)
    if first is None or second is None or taken.type.tensor_type.elem_type != given.type.tensor_type.elem_type:
        return False
    return len(first) == len(second) and all(
        None in pair or pair[0] == pair[1] for pair in zip(first, second, strict=True)
    )
