"""What a student of a Q-network should imitate: the scores, their differences, or the choice; and at what temperature.

    python benchmarks/score_objectives.py AGENT --hidden 64 64 --steps 4000

First what the teacher's scores are like; then, for every objective, a student of 8 bits taught by DAgger: how often it
agrees with the teacher on observations that the teacher met and on those that the student itself meets, and what it
returns. "gap" is the difference between the teacher's two best scores.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from policypress import seeding
from policypress.compression.distillation.objective import ScoreObjective
from policypress.compression.distillation.student import student_of
from policypress.compression.distillation.training import Trainer
from policypress.environments.rollout_source import RolloutSource
from policypress.export.parity import to_tensors
from policypress.measurement.agent_in_environment import AgentInEnvironment, agent_in_environment
from policypress.measurement.evaluation import runtime_of
from policypress.measurement.returns import measure_returns
from policypress.policy.policy import Policy

STATES, ROUND, ROUNDS = 30_000, 10_000, 4


class Scores(ScoreObjective):
    """Mean squared error of the scores, or of their differences from their mean, in units of their deviation."""

    def __init__(self, teacher: Policy, scores: Tensor, *, centred: bool) -> None:
        super().__init__(teacher, scores)
        self._centred = centred
        self._shift = torch.zeros(scores.shape[1]) if centred else scores.mean(0)
        self.temperature = float(self._taken(scores).std())

    def units(self) -> tuple[Tensor, Tensor]:
        """So that the student's outputs are of size 1."""
        return torch.full_like(self._shift, self.temperature), self._shift

    def rows(self, policy: Policy, values: dict[str, Tensor]) -> Tensor:
        """The scores in their unit."""
        return self._taken(values[policy.scores_node]) / self.temperature

    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean squared error."""
        return F.mse_loss(student, teacher)

    def _taken(self, scores: Tensor) -> Tensor:
        return scores - (scores.mean(1, keepdim=True) if self._centred else self._shift)


def objectives(teacher: Policy, scores: Tensor) -> dict[str, ScoreObjective]:
    """Every objective by its name."""
    result: dict[str, ScoreObjective] = {
        "squared error of the scores": Scores(teacher, scores, centred=False),
        "squared error of their differences": Scores(teacher, scores, centred=True),
    }
    for factor in (0.25, 1.0, 4.0, 16.0):
        objective = ScoreObjective(teacher, scores)
        objective.temperature *= factor
        result[f"divergence, {factor:g} × median gap"] = objective
    return result


def agreement(left: Policy, right: Policy, observations: np.ndarray) -> float:
    """Share of decisions that are the same."""
    batch = to_tensors(observations)
    with torch.no_grad():
        return float((left(batch) == right(batch)).float().mean())


def taught(
    subject: AgentInEnvironment, objective: ScoreObjective, seen: np.ndarray, hidden: list[int], steps: int
) -> Policy:
    """A student of 8 bits."""
    rollouts = RolloutSource(subject.factory, subject.max_steps)
    generator = torch.Generator().manual_seed(0)
    student = student_of(subject.policy, seen, objective.units(), hidden, "relu", generator)
    trainer = Trainer(student, subject.policy, objective, steps=steps, batch=512, generator=generator)
    trainer.add(seen)
    for number in range(ROUNDS):
        trainer.train(steps // ROUNDS)
        if number == 0:
            trainer.quantize(8, 8)
        if number + 1 < ROUNDS:
            act = runtime_of(trainer.policy()).act
            trainer.add(rollouts.visited(act, count=ROUND, seed=0, purpose=f"student/{number}"))
    return trainer.finished(fold_inputs=False)


def main() -> None:
    """Print what the scores are like, and one row per objective."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agent", metavar="AGENT")
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 64])
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--episodes", type=int, default=50)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    subject = agent_in_environment(arguments.agent)
    teacher, rollouts = subject.policy, RolloutSource(subject.factory, subject.max_steps)
    act = runtime_of(teacher).act
    seen = rollouts.visited(act, count=STATES, seed=0, purpose="teacher")
    held_out = rollouts.visited(act, count=6000, seed=0, purpose="held out")
    with torch.no_grad():
        scores = teacher.scores(to_tensors(held_out))
    best = scores.topk(2, dim=1)
    gaps, choices = best.values[:, 0] - best.values[:, 1], best.indices[:, 0]
    print(f"deviation of the best score over observations: {float(best.values[:, 0].std()):.3g}")
    print(f"deviation of the scores of one observation: {float((scores - scores.mean(1, keepdim=True)).std()):.3g}")
    print(f"median gap: {float(gaps.median()):.3g}")
    print(f"steps on which the choice changes: {100 * float((choices[1:] != choices[:-1]).float().mean()):.0f} %")
    seeds = seeding.episode_seeds(0, seeding.EVALUATION, arguments.episodes)

    def returned(policy: Policy) -> str:
        rows = measure_returns(runtime_of(policy).act, subject.factory, seeds, max_steps=subject.max_steps)
        values = np.array([row.episode_return for row in rows])
        return f"{values.mean():.0f} ± {1.96 * values.std(ddof=1) / np.sqrt(len(values)):.0f}"

    print(f"\n| objective | agrees where the teacher goes | where the student goes | return |\n{'|---' * 4}|")
    print(f"| (teacher) | | | {returned(teacher)} |", flush=True)
    sample = to_tensors(seen)
    with torch.no_grad():
        known = objectives(teacher, teacher.scores(sample))
    for name, objective in known.items():
        student = taught(subject, objective, seen, arguments.hidden, arguments.steps)
        own = rollouts.visited(runtime_of(student).act, count=4000, seed=0, purpose="own")
        shares = [f"{100 * agreement(student, teacher, states):.0f} %" for states in (held_out, own)]
        print(f"| {name} | {' | '.join(shares)} | {returned(student)} |", flush=True)


if __name__ == "__main__":
    main()
