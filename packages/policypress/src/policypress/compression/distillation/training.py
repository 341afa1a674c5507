"""Training a student to imitate a teacher on observations, with quantizers in the loop: plain tensors, one thread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from policypress.compression.calibration import CHUNK_ROWS, chunks
from policypress.compression.distillation.objective import Objective
from policypress.compression.distillation.quantizers import LearnedQuantizers
from policypress.compression.distillation.student import with_units_folded, without_standardisation
from policypress.compression.step import Observations
from policypress.policy.layers import Conv2d, Linear
from policypress.policy.policy import SINGLE_KEY, Node, Policy

LEARNING_RATE = 1e-3
# Observations that show the ranges; of images as many as one batch holds.
_ROWS = 4096
# Rows are drawn and gathered for so many steps at once.
_STEPS_AHEAD = 16
_EPSILON = 1e-8
_TELLING_S = 1.0


class Trainer:
    """A student under training, the observations it has been given, and the teacher's answers to them.

    Args:
        student: float network; it is trained in place.
        teacher: what is imitated.
        objective: what of it.
        steps: how many there will be in all; the learning rate falls to 0 over them as a cosine.
        batch: observations a step, drawn evenly from all.
        generator: draws them.
    """

    def __init__(
        self,
        student: Policy,
        teacher: Policy,
        objective: Objective,
        *,
        steps: int,
        batch: int,
        generator: torch.Generator,
    ) -> None:
        self.student, self._teacher, self._objective = student, teacher, objective
        self._steps, self._batch, self._generator = steps, batch, generator
        self.steps_done = 0
        self.quantizers: LearnedQuantizers | None = None
        self._plan = _Plan(student)
        self._inputs: dict[str, Tensor] = {}
        self._targets = torch.empty(0)
        self._optimizer = FlatAdam(list(student.parameters()))

    def add(self, observations: Observations) -> None:
        """Observations to learn from; the teacher answers them now."""
        answers: list[Tensor] = []
        inputs: dict[str, list[Tensor]] = {name: [] for name in self._plan.kept}
        with torch.no_grad():
            for part in chunks(observations):
                answers.append(self._objective.rows(self._teacher, self._teacher.run(part)))
                for name, value in self._plan.prepare(part).items():
                    inputs[name].append(value)
        fresh = {name: torch.cat(parts) for name, parts in inputs.items()}
        self._inputs = {
            name: torch.cat([self._inputs[name], value]) if name in self._inputs else value
            for name, value in fresh.items()
        }
        self._targets = torch.cat([self._targets.reshape(-1, answers[0].shape[1]), *answers])

    def quantize(self, weight_bits: int, activation_bits: int) -> None:
        """From here on the student computes with integers; scales start from what it has learned from so far."""
        images = any(value.dim() > 2 for value in self._inputs.values())
        rows = torch.randperm(len(self._targets), generator=self._generator)[: CHUNK_ROWS if images else _ROWS]
        with torch.no_grad():
            values = self._plan.run({name: value[rows] for name, value in self._inputs.items()}, None)
        self.quantizers = LearnedQuantizers(self.student, values, weight_bits, activation_bits)
        self._optimizer = FlatAdam([*self.student.parameters(), *self.quantizers.scales()])

    def train(self, steps: int, on_progress: Callable[[float, float], None] | None = None) -> float:
        """Take ``steps`` steps; returns the mean loss of the last tenth of them.

        About once a second ``on_progress`` is called with the loss of the last few steps and the action error of the
        last.
        """
        losses: list[Tensor] = []
        told_s = time.monotonic()
        for first in range(0, steps, _STEPS_AHEAD):
            count = min(_STEPS_AHEAD, steps - first)
            rows = torch.randint(len(self._targets), (count * self._batch,), generator=self._generator)
            inputs = {
                name: torch.split(value.index_select(0, rows), self._batch) for name, value in self._inputs.items()
            }
            targets = torch.split(self._targets.index_select(0, rows), self._batch)
            for step in range(count):
                losses.append(self._step({name: parts[step] for name, parts in inputs.items()}, targets[step]))
            if on_progress is not None and time.monotonic() - told_s >= _TELLING_S:
                last = {name: parts[-1] for name, parts in inputs.items()}
                on_progress(float(torch.stack(losses[-count:]).mean()), self._error(last, targets[-1]))
                told_s = time.monotonic()
        return float(torch.stack(losses[-max(1, steps // 10) :]).mean()) if losses else math.nan

    def _step(self, kept: Mapping[str, Tensor], target: Tensor) -> Tensor:
        values = self._plan.run(kept, self.quantizers)
        loss = self._objective.loss(self._objective.rows(self.student, values), target)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step(LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * self.steps_done / self._steps)))
        self.steps_done += 1
        return loss.detach()

    def _error(self, kept: Mapping[str, Tensor], target: Tensor) -> float:
        with torch.no_grad():
            return self._objective.error(
                self._objective.rows(self.student, self._plan.run(kept, self.quantizers)), target
            )

    def policy(self) -> Policy:
        """The student as it is now, with its ``QuantSpec``s."""
        result = self.student.clone()
        if self.quantizers is not None:
            self.quantizers.set_specs(result)
        return result

    def finished(self, *, fold_inputs: bool) -> Policy:
        """The student, its output in its own units again; with ``fold_inputs`` its inputs too."""
        result = with_units_folded(self.policy())
        return without_standardisation(result) if fold_inputs else result


class _Plan:
    """Runs a student: what comes before its first layer once for every observation, the rest at every step.

    ``kept`` names the values that are kept for every observation. An image is kept as it came: as features it would
    take four times the memory.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        sample = {key: torch.zeros(2, *spec.shape) for key, spec in policy.inputs.items()}
        with torch.no_grad():
            example = policy.run(sample.get(SINGLE_KEY, sample))
        known = {spec.name for spec in policy.inputs.values()}
        self._rest: list[Node] = []
        for node in policy.nodes:
            learns = next(policy.layers[node.name].parameters(), None) is not None
            if not learns and known.issuperset(node.inputs) and example[node.name].dim() <= 2:
                known.add(node.name)
            elif node.name != policy.nodes[-1].name or policy.scores_node is None:
                # Choosing the best of the scores has no gradient.
                self._rest.append(node)
        self.kept = tuple(known & {value for node in self._rest for value in node.inputs})

    def prepare(self, observation: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The values to keep of a batch of observations."""
        values = self._policy.run(observation)
        return {name: values[name] for name in self.kept}

    def run(self, kept: Mapping[str, Tensor], quantizers: LearnedQuantizers | None) -> dict[str, Tensor]:
        """All values from the kept ones on."""
        values = dict(kept)
        for node in self._rest:
            layer = self._policy.layers[node.name]
            if quantizers is not None and isinstance(layer, Linear | Conv2d):
                values[node.name] = quantizers.run(node.name, layer, values[node.inputs[0]])
            else:
                values[node.name] = layer(*(values[name] for name in node.inputs))
        return values


class FlatAdam:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980) on parameters that it moves into one vector.

    A network of some thousand weights takes longer to be handed over tensor by tensor than to be computed.
    """

    def __init__(self, parameters: Sequence[Tensor], betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self._vector = torch.cat([parameter.detach().flatten() for parameter in parameters])
        self._gradient = torch.zeros_like(self._vector)
        self._mean, self._square = torch.zeros_like(self._vector), torch.zeros_like(self._vector)
        self._betas, self._count = betas, 0
        start = 0
        for parameter in parameters:
            part = slice(start, start + parameter.numel())
            parameter.data = self._vector[part].view_as(parameter)
            parameter.grad = self._gradient[part].view_as(parameter)
            start = part.stop

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self._gradient.zero_()

    def step(self, rate: float) -> None:
        """Move every parameter by the gradient, with the learning rate ``rate``."""
        self._count += 1
        first, second = self._betas
        self._mean.lerp_(self._gradient, 1 - first)
        self._square.mul_(second).addcmul_(self._gradient, self._gradient, value=1 - second)
        scale = self._square.sqrt().mul_(1 / math.sqrt(1 - second**self._count)).add_(_EPSILON)
        self._vector.addcdiv_(self._mean, scale, value=-rate / (1 - first**self._count))
