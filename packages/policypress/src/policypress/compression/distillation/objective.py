"""What a student is asked to imitate: the action where it is continuous, the scores where it is a choice.

An objective turns the values of a policy's run into *what counts* of them, one row per observation; the teacher's rows
are the targets, and the loss compares the student's rows with them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from policypress.compression.calibration import chunks
from policypress.compression.step import Observations
from policypress.policy.layers import Activation, ArgMax, Clip, Reshape
from policypress.policy.policy import Node, Policy
from policypress_runtime.contract import Box

# A saturated action says little of the value before; that one still leads back, and is held within these limits.
RAW_WEIGHT = 0.01
RAW_LIMIT = 3.0
_TINY = 1e-6

Values = Mapping[str, Tensor]
Rows = Float[Tensor, "batch columns"]


@runtime_checkable
class Objective(Protocol):
    """See the module."""

    def rows(self, policy: Policy, values: Values) -> Rows:
        """What counts of ``values``, a run of ``policy``: teacher or student."""
        ...

    def loss(self, student: Rows, teacher: Rows) -> Float[Tensor, ""]:
        """How far the student is from the teacher; mean over the batch."""
        ...

    def error(self, student: Rows, teacher: Rows) -> float:
        """Mean distance of the action as a share of its range, or the share of choices that differ."""
        ...

    def units(self) -> tuple[Tensor, Tensor] | None:
        """Scale and shift of each output of the last layer that bring it to size 1; None where it has that size."""
        ...


def objective_of(teacher: Policy, observations: Observations) -> Objective:
    """The objective for ``teacher``, with units from what it does on ``observations``."""
    answers: list[Tensor] = []
    with torch.no_grad():
        for part in chunks(observations):
            answers.append(teacher.scores(part))
    if isinstance(teacher.action_space, Box):
        return ActionObjective(teacher, torch.cat(answers), teacher.action_space)
    return ScoreObjective(teacher, torch.cat(answers))


class ActionObjective:
    """Mean squared error of the action in units of half its range, plus a little of the value before it saturates.

    The unit of an unbounded action is its standard deviation over the teacher's. The second term has a gradient where
    squash or clip has none.

    Args:
        teacher: a policy with continuous actions.
        actions: its own, to tell the unit of unbounded ones.
        space: of the actions.
    """

    def __init__(self, teacher: Policy, actions: Float[Tensor, "batch *action"], space: Box) -> None:
        low, high = (torch.from_numpy(bound.astype("float32")).reshape(-1) for bound in space.bounds())
        flat = actions.flatten(1)
        bounded = torch.isfinite(high - low)
        self._centre = torch.where(bounded, (low + high) / 2, flat.mean(0))
        half = torch.where(bounded, (high - low) / 2, flat.std(0, correction=0))
        self._unit = torch.where(half > _TINY, half, 1.0)
        self._raw_is_action = all(isinstance(layer, Clip | Reshape) for _, layer in _head(teacher))

    def units(self) -> tuple[Tensor, Tensor] | None:
        """The action's own, where nothing but limits stands between the last layer and the action."""
        plain = bool((self._unit == 1).all() and (self._centre == 0).all())
        return None if plain or not self._raw_is_action else (self._unit, self._centre)

    def rows(self, policy: Policy, values: Values) -> Rows:
        """Actions, and behind them, with the root of their weight, the values that squash or clip reads."""
        action = (values[policy.nodes[-1].name].flatten(1) - self._centre) / self._unit
        raw, squashed = before_saturation(policy)
        if raw is None:
            return action
        read = values[raw].flatten(1)
        read = read if squashed else (read - self._centre) / self._unit
        return torch.cat([action, F.hardtanh(read, -RAW_LIMIT, RAW_LIMIT) * math.sqrt(RAW_WEIGHT)], dim=1)

    def loss(self, student: Rows, teacher: Rows) -> Float[Tensor, ""]:
        """Mean squared error of the action plus :data:`RAW_WEIGHT` times that of the value before."""
        return F.mse_loss(student, teacher, reduction="sum") / (len(student) * len(self._unit))

    def error(self, student: Rows, teacher: Rows) -> float:
        """Mean absolute difference of the actions, whose range is two units."""
        count = len(self._unit)
        return float((student[:, :count] - teacher[:, :count]).abs().mean() / 2)


class ScoreObjective:
    """Kullback-Leibler divergence between the choices of teacher and student, scores read as logits.

    The temperature is the median gap between the teacher's two best scores, so that what decides is what is learned:
    the gaps of a Q-network may be a thousand times smaller than what its scores have in common. Each choice of a
    MultiDiscrete space counts alone, and so does each bit of a MultiBinary one.

    Args:
        teacher: a policy that chooses.
        scores: its own.
    """

    def __init__(self, teacher: Policy, scores: Float[Tensor, "batch scores"]) -> None:
        best = [part.topk(2, dim=1).values for part in _choices(teacher, scores) if part.shape[1] > 1]
        gap = float(torch.cat([pair[:, 0] - pair[:, 1] for pair in best]).median()) if best else 0.0
        self.temperature = gap if gap > _TINY else 1.0
        self._width = scores.shape[1]
        self._options = [part.shape[1] for part in _choices(teacher, scores)]

    def units(self) -> tuple[Tensor, Tensor] | None:
        """Scores of size 1 differ by the temperature."""
        return torch.full((self._width,), self.temperature), torch.zeros(self._width)

    def rows(self, policy: Policy, values: Values) -> Rows:
        """Logarithms of the choices' probabilities."""
        scores = values[policy.scores_node or policy.nodes[-1].name] / self.temperature
        return torch.cat([torch.log_softmax(part, dim=1) for part in _choices(policy, scores)], dim=1)

    def loss(self, student: Rows, teacher: Rows) -> Float[Tensor, ""]:
        """Kullback-Leibler divergence from the teacher, summed over the choices."""
        return F.kl_div(student, teacher, reduction="batchmean", log_target=True)

    def error(self, student: Rows, teacher: Rows) -> float:
        """Share of the choices whose most probable option is another."""
        pairs = zip(torch.split(student, self._options, 1), torch.split(teacher, self._options, 1), strict=True)
        return float(torch.stack([(own.argmax(1) != given.argmax(1)).float() for own, given in pairs]).mean())


def _choices(policy: Policy, scores: Tensor) -> list[Tensor]:
    """The scores of each choice, ``(batch, options)``; a bit is a choice between 0 and its logit."""
    head = policy.layers[policy.nodes[-1].name]
    if isinstance(head, ArgMax):
        return list(torch.split(scores, list(head.counts), dim=1))
    return list(torch.stack([torch.zeros_like(scores), scores], dim=2).unbind(1))


def before_saturation(policy: Policy) -> tuple[str | None, bool]:
    """The value that the first squash or clip behind the last weighted layer reads, and whether any of them squashes.

    None where nothing saturates, or the value has another size than the action.
    """
    head = _head(policy)
    squashed = any(isinstance(layer, Activation) for _, layer in head)
    for node, layer in head:
        if isinstance(layer, Clip | Activation):
            return node.inputs[0], squashed
    return None, squashed


def _head(policy: Policy) -> list[tuple[Node, nn.Module]]:
    """The nodes behind the last weighted layers, and their layers."""
    weighted = {name for name, _ in policy.weighted_layers()}
    behind = {name for name in weighted if policy.is_last(name)}
    head: list[tuple[Node, nn.Module]] = []
    for node in policy.nodes:
        if node.name not in weighted and behind.issuperset(node.inputs):
            behind.add(node.name)
            head.append((node, policy.layers[node.name]))
    return head
