"""``distill(dagger|cloning)``: a student learns to act as the fp32 policy does, with quantization in the loop.

The student is the policy that the recipe has so far (pruned, say), or, with ``hidden``, a fresh small network in the
place of its last linear layers. It needs neither reward nor critic. ``cloning`` learns from observations that the
teacher meets, or that were recorded; ``dagger`` (Ross, Gordon & Bagnell 2011, arXiv:1011.0686) also from those that
the student itself meets, which the teacher answers. With ``w`` and ``a`` the student computes with integers after the
first round of training, and learns their scales (LSQ, Esser et al. 2020, arXiv:1902.08153).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from policypress import seeding
from policypress.compression.distillation.objective import objective_of
from policypress.compression.distillation.student import student_of
from policypress.compression.distillation.training import Trainer
from policypress.compression.learning import StepProgress
from policypress.compression.step import Context, Observations, Stage, Step
from policypress.environments.rollout_source import RolloutSource
from policypress.measurement.evaluation import runtime_of
from policypress.measurement.returns import actor_of
from policypress.policy.activations import ACTIVATIONS
from policypress.policy.observation_layers import is_any_image
from policypress.policy.policy import Policy
from policypress_runtime.contract import DictSpace, Space
from policypress_runtime.errors import ObservationError, RecipeError

_log = logging.getLogger(__name__)

METHODS = ("dagger", "cloning")
FLOAT_BITS = 32
BITS = range(2, 9)


@dataclass(frozen=True)
class Budget:
    """What a distillation may take: gradient steps, the teacher's observations, observations a step."""

    steps: int
    states: int
    batch: int


VECTORS = Budget(24_000, 60_000, 512)
# An image is some 28 kB, and a step takes a hundred times longer.
IMAGES = Budget(2_000, 6_000, 64)
# Each round of DAgger adds this share of the teacher's observations, met by the student.
ROUND_SHARE = 0.25


@dataclass(frozen=True)
class Distill(Step):
    """Imitate the fp32 policy; see the module.

    Args:
        method: ``dagger`` or ``cloning``.
        w: bits of the weights, one scale per output channel; 32 is float. With ``a``, or not at all.
        a: bits of what the layers read, one scale per tensor; 32 is float.
        hidden: widths of a fresh network; empty to go on with the network that the recipe has.
        activation: of the fresh network.
        steps: of the optimizer; 0 takes the default for the kind of observation (:data:`VECTORS`, :data:`IMAGES`).
        states: observations that the teacher meets; 0 takes the default.
        rounds: of DAgger, spread evenly over the steps; each adds a quarter of ``states``.

    Raises:
        RecipeError: a parameter is out of its range.
    """

    name: ClassVar[str] = "distill"
    stage: ClassVar[Stage] = Stage.STRUCTURE
    version: ClassVar[int] = 1
    learns: ClassVar[bool] = True
    method: str = field(metadata={"positional": True})
    w: int = FLOAT_BITS
    a: int = FLOAT_BITS
    hidden: tuple[int, ...] = ()
    activation: str = "relu"
    steps: int = 0
    states: int = 0
    rounds: int = 7

    def __post_init__(self) -> None:
        checks = (
            (self.method in METHODS, f"method {self.method}", " or ".join(METHODS)),
            (self.activation in ACTIVATIONS, f"activation={self.activation}", ", ".join(sorted(ACTIVATIONS))),
            (all(bits in (*BITS, FLOAT_BITS) for bits in (self.w, self.a)), f"w={self.w}, a={self.a}", "2 to 8 bits"),
            ((self.w == FLOAT_BITS) == (self.a == FLOAT_BITS), f"w={self.w}, a={self.a}", "both, e.g. w=8, a=8"),
            (all(width > 0 for width in self.hidden), f"hidden={list(self.hidden)}", "widths above 0"),
            (min(self.steps, self.states) >= 0, f"steps={self.steps}, states={self.states}", "at least 1"),
            (self.rounds >= 1, f"rounds={self.rounds}", "at least 1"),
        )
        for holds, got, expected in checks:
            if not holds:
                raise RecipeError("This value is invalid for distill.", got=got, expected=expected)
        if self.quantizes:
            self._stand_at(Stage.QUANTIZATION)

    @property
    def quantizes(self) -> bool:
        """Whether the student computes with integers."""
        return self.w != FLOAT_BITS

    def apply(self, policy: Policy, context: Context) -> Policy:
        """The student after its training.

        Raises:
            ObservationError: DAgger without an environment to act in.
            NetworkError: ``hidden`` for a network whose output does not come from one linear layer.
        """
        with _one_thread():
            return self._distill(policy, context.teacher or policy, context)

    def budget(self, policy: Policy) -> Budget:
        """What it takes for ``policy``."""
        usual = IMAGES if _has_images(policy.observation_space) else VECTORS
        return Budget(self.steps or usual.steps, self.states or usual.states, usual.batch)

    def _distill(self, policy: Policy, teacher: Policy, context: Context) -> Policy:
        if self.method == "dagger" and context.rollouts is None:
            raise ObservationError(
                "distill(dagger) runs the student in an environment, and there is none.",
                got="recorded observations alone",
                expected="an environment (--env)",
                hint="distill(cloning) learns from recorded observations.",
            )
        budget = self.budget(policy)
        seen = _teachers_observations(teacher, context, budget.states)
        generator = torch.Generator().manual_seed(int(seeding.generator(context.seed, "distill").integers(2**31)))
        objective = objective_of(teacher, seen)
        student = student_of(policy, seen, objective.units(), self.hidden, self.activation, generator)
        trainer = Trainer(student, teacher, objective, steps=budget.steps, batch=budget.batch, generator=generator)
        trainer.add(seen)
        self._train(trainer, context, budget)
        return trainer.finished(fold_inputs=not self.quantizes)

    def _train(self, trainer: Trainer, context: Context, budget: Budget) -> None:
        """Rounds of training; after each but the last, DAgger's student acts."""
        count = self.rounds + 1

        def on_progress(loss: float, action_error: float) -> None:
            context.on_progress(StepProgress(self.name, trainer.steps_done, budget.steps, loss, action_error))

        for number in range(count):
            until = budget.steps * (number + 1) // count
            loss = trainer.train(until - trainer.steps_done, on_progress)
            _log.info("distill: round %d of %d, step %d of %d, loss %.3g", number + 1, count, until, budget.steps, loss)
            if number == 0 and self.quantizes:
                trainer.quantize(self.w, self.a)
            if self.method == "dagger" and context.rollouts is not None and number + 1 < count:
                met = max(1, round(budget.states * ROUND_SHARE))
                trainer.add(_met(context.rollouts, trainer.policy(), met, context.seed, f"student/{number}"))


def _has_images(space: Space) -> bool:
    parts = [part for _, part in space.spaces] if isinstance(space, DictSpace) else [space]
    return any(is_any_image(part) for part in parts)


def _teachers_observations(teacher: Policy, context: Context, count: int) -> Observations:
    if context.rollouts is not None:
        return _met(context.rollouts, teacher, count, context.seed, "teacher")
    return context.calibration if context.recorded is None else context.recorded


def _met(rollouts: RolloutSource, policy: Policy, count: int, seed: int, who: str) -> Observations:
    """Observations that ``policy`` meets, acting under ONNX Runtime as its artifact would."""
    return rollouts.visited(actor_of(runtime_of(policy)), count=count, seed=seed, purpose=f"distill/{who}")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order whatever the machine: a student is the same on all of them but for the kind of CPU."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
