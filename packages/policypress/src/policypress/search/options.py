"""What ``compress`` is asked for: one object from the command line down to the cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gymnasium.vector import VectorEnv

from policypress.agents.overrides import NO_OVERRIDES, Overrides
from policypress.compression.recipe import Recipe
from policypress.engine.executors.choice import ExecutorName
from policypress.measurement.agent_in_environment import Factory
from policypress.measurement.certificate.error_budget import checked_share
from policypress.measurement.certificate.fall_rule import FallLimit, FallRule, fall_rule_of
from policypress.measurement.certificate.limits import Limits
from policypress.measurement.costs.energy import checked_watts
from policypress.search.defaults import BUDGET_MINUTES, MAX_EPISODES
from policypress.search.history import OBJECTIVES, Minimize
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import StudyInputError
from policypress_runtime.runtimes.protocol import RuntimeChoice


@dataclass(frozen=True)
class Goal:
    """What a search looks for, and what it may spend; see :class:`CompressOptions`."""

    keep: float = 0.95
    confidence: float = 0.95
    minimize: Minimize = "size"
    budget_minutes: float = BUDGET_MINUTES
    max_episodes: int = MAX_EPISODES
    training: bool = True
    worst_return: float | None = None
    best_return: float | None = None
    fall_limit: FallLimit | None = None
    fall_rule: FallRule | None = None


@dataclass(frozen=True)
class CompressOptions:
    """How an agent is compressed.

    Args:
        recipes: what to compress it by in place of searching; ``defaults.CLASSIC`` are those of the papers.
        keep: share of the baseline's score, (R − R_random) / (R_baseline − R_random), to keep.
        confidence: of the certificate.
        minimize: ``size`` (packed bytes), ``latency``, ``energy`` or ``macs``.
        budget_minutes: within which, and a tenth, a search ends, its certificate and its costs included; where that
            cannot be, it says so as soon as it knows what an episode takes.
        max_episodes: of all policies of a search together.
        worst_return: the worst return that an episode counts as in a certificate; by default from the episodes before.
        best_return: the best return that an episode counts as, likewise.
        max_falls: the rate of falls that is certified together with the return; ``"baseline+0.02"``: at most so much
            more frequent than the agent's.
        falls: what a fall is: ``terminated``, ``score<SHARE``, ``return<VALUE`` or ``info:KEY`` (the environment's
            ``info`` holds a true KEY at any step).
        training: whether a search tries recipes that take gradient steps as well.
        episodes: of every policy where ``recipes`` are given; a search plays as many as it needs.
        seed: of everything random.
        env: the environment, where the agent does not name it or another is wanted.
        env_fn: makes the user's own environment. One that other processes cannot import (a lambda, a function of
            the script itself) is run in this process. Its code is not part of a cell's key: after changing it, use
            another folder. It may make a ``gymnasium.vector.VectorEnv``, or be one that is there and stays open: then
            as many episodes are played at once as it has environments.
        observations: recorded observations (``.npz``) in place of an environment: returns are not measured. A search
            then looks for the smallest whose actions differ by at most ``max_action_error``.
        max_action_error: mean difference to the agent's action, as a share of its range, or share of discrete actions
            that differ, of a search on ``observations``.
        max_steps: limit of an episode where the environment has none.
        overrides: facts that the user states of the network.
        executor: ``local`` (one process per core) or ``debug`` (in this process).
        jobs: number of processes of ``local``.
        retry_failed: also do the cells that failed before.
        costs: afterwards, measure latency, memory and energy of the baseline and of those that got furthest (or of
            all ``recipes``). Nothing else should run on the machine then.
        watts_per_core: power of a busy core, for energy that no meter can measure.
        robustness: also play the winner (or the ``recipes``) and the baseline under noise, delay and other physics.
        runtime: what acts: ``native``, ``onnxruntime`` or ``auto`` (``native`` where there is a C compiler). By default
            ``auto`` for ``recipes``; a search plays under ONNX Runtime, because to compile dozens of candidates takes
            longer than it saves, and measures costs under the native runtime where there is a compiler.

    Raises:
        StudyInputError: a number or a name that cannot be.
        RecipeError: a recipe cannot be read.
    """

    recipes: Sequence[str | Recipe] | None = None
    keep: float = 0.95
    confidence: float = 0.95
    minimize: str = "size"
    budget_minutes: float = BUDGET_MINUTES
    max_episodes: int = MAX_EPISODES
    worst_return: float | None = None
    best_return: float | None = None
    max_falls: float | str | None = None
    falls: str | None = None
    training: bool = True
    episodes: int = 100
    seed: int = 0
    env: EnvironmentSpec | str | None = None
    env_fn: Factory | VectorEnv[Any, Any, Any] | None = None
    observations: str | Path | None = None
    max_action_error: float | None = None
    max_steps: int | None = None
    overrides: Overrides = NO_OVERRIDES
    executor: ExecutorName = "local"
    jobs: int | None = None
    retry_failed: bool = False
    costs: bool = True
    watts_per_core: float | None = None
    robustness: bool = False
    runtime: RuntimeChoice | None = None

    def __post_init__(self) -> None:
        if self.watts_per_core is not None:
            checked_watts(self.watts_per_core)
        if self.recipes is None:
            self._check_search()
        elif self.episodes < 1 and self.observations is None:
            raise StudyInputError("Returns need episodes.", got=f"episodes={self.episodes}", expected="at least 1")
        _ = self.parsed

    def _check_search(self) -> None:
        checked_share("share to keep", self.keep)
        checked_share("confidence", self.confidence)
        if not self.budget_minutes > 0:
            raise StudyInputError(
                "A search needs a time budget.", got=f"{self.budget_minutes:g} minutes", expected="more than 0"
            )
        if self.max_episodes < 1:
            raise StudyInputError(
                "A search needs an episode budget.", got=str(self.max_episodes), expected="at least 1"
            )
        _ = self.goal
        if self.worst_return is not None and self.best_return is not None:
            Limits(self.worst_return, self.best_return)
        if self.max_action_error is not None:
            checked_share("largest action error", self.max_action_error)
        if self.observations is not None and self.max_action_error is None:
            raise StudyInputError(
                "A search needs episodes, or to know by how much actions may differ on the observations.",
                got=f"observations {self.observations} and no recipe",
                expected="a largest action error, recipes, or an environment instead of the observations",
                hint="Say --max-action-error 0.01 (of the action's range), or --recipe, or --classic.",
            )
        if self.observations is None and self.max_action_error is not None:
            raise StudyInputError(
                "A largest action error is for a search on recorded observations.",
                got=f"{self.max_action_error:g} and no observations",
                expected="--observations logged.npz as well",
                hint="Where episodes can be played, the return decides: --keep says how much of it.",
            )

    @property
    def parsed(self) -> tuple[Recipe, ...]:
        """The recipes that were given."""
        return tuple(r if isinstance(r, Recipe) else Recipe.parse(r) for r in self.recipes or ())

    @property
    def goal(self) -> Goal:
        """What a search looks for.

        Raises:
            StudyInputError: it is not known how to minimize this.
        """
        for known in OBJECTIVES:
            if known == self.minimize:
                return Goal(
                    self.keep,
                    self.confidence,
                    known,
                    self.budget_minutes,
                    self.max_episodes,
                    self.training,
                    self.worst_return,
                    self.best_return,
                    FallLimit.of(self.max_falls),
                    fall_rule_of(self.falls, self.max_falls),
                )
        raise StudyInputError("Unknown quantity to minimize.", got=self.minimize, expected=", ".join(OBJECTIVES))
