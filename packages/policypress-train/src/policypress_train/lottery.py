"""Lottery tickets in deep RL: iterative magnitude pruning with rewinding, against random tickets.

Frankle & Carbin 2019 (arXiv:1803.03635): the smallest weights of a trained network are pruned, the others are rewound
to their initial values, and the sparse network, the *ticket*, is trained again; then more is pruned. Lu et al. 2024
(section 4) conclude from pruning trained agents, without training them again, that the hypothesis fails for deep RL.
Here a ticket learns by RL, as the dense network did, beside a *random ticket*: as sparse in each layer, with other
weights and other places.

Of each seed the units are ``dense``, then ``ticket 1``, ``ticket 2``, … and ``random 1``, ``random 2``, …; each leaves
one file when it is done, and one that has its file is not trained again.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from policypress import seeding
from policypress.training_package import TrainingRequest
from policypress_runtime.atomic_write import write_atomic
from policypress_runtime.contract import EnvironmentSpec
from policypress_runtime.errors import TrainingInputError
from policypress_train.evaluator import Evaluator
from policypress_train.hyperparameters.preparing import prepare
from policypress_train.model import build_model
from policypress_train.sparse.magnitude import Masked, acting_weights, magnitude_masks, random_masks, sparsity_of
from policypress_train.spec import TrainingSpec, Update
from policypress_train.vector_envs.making import evaluation_environment, learning_environments, normaliser

DENSE, TICKET, RANDOM = "dense", "ticket", "random"
# Added to the seed of a random ticket's initial weights, so that they differ from the ticket's.
_OTHER_WEIGHTS = 100_000


@dataclass(frozen=True)
class LotteryPlan:
    """One experiment.

    Attributes:
        algorithm: one of the six; published hyperparameters.
        environment: its id.
        steps: of each training; None for the published number.
        seeds: of the trainings.
        rounds: how often more is pruned.
        share: of the weights that are left, pruned in each round.
        rewind: environment steps after which the weights that a ticket goes back to are taken; 0 for the first ones.
        episodes: of each evaluation, deterministic.
        update: how gradient steps are computed, see :class:`TrainingSpec`.
    """

    algorithm: str
    environment: str
    steps: int | None = None
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    rounds: int = 8
    share: float = 0.3
    rewind: int = 0
    episodes: int = 50
    update: Update = "fast"

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            TrainingInputError: no seeds, no rounds, or a share that is none.
        """
        if not self.seeds or self.rounds < 1 or not 0 < self.share < 1 or self.rewind < 0 or self.episodes < 1:
            raise TrainingInputError(
                "The lottery-ticket experiment is invalid.",
                got=str(asdict(self)),
                expected="seeds, at least one round, a share between 0 and 1, no negative numbers",
            )

    def spec(self, seed: int) -> TrainingSpec:
        """The training of one seed."""
        environment = EnvironmentSpec(self.environment)
        return prepare(
            TrainingRequest(self.algorithm, environment, steps=self.steps, seed=seed, update=self.update)
        ).spec

    def sparsity(self, round_: int) -> float:
        """Share of weights that are pruned after so many rounds: 1 − (1 − share)^round."""
        return 1.0 - (1.0 - self.share) ** round_


@dataclass(frozen=True)
class Unit:
    """One training of the experiment: of a kind, a seed and a round (0 for dense)."""

    kind: str
    seed: int
    round: int

    @property
    def name(self) -> str:
        """As a file's name."""
        return f"{self.kind}-seed{self.seed}-round{self.round}"


def units(plan: LotteryPlan) -> Iterator[Unit]:
    """All units, each after those that it needs."""
    for seed in plan.seeds:
        yield Unit(DENSE, seed, 0)
        for round_ in range(1, plan.rounds + 1):
            yield Unit(TICKET, seed, round_)
            yield Unit(RANDOM, seed, round_)


def run(plan: LotteryPlan, folder: Path, *, limit: int | None = None) -> int:
    """Run the units that are not done, at most ``limit`` of them; returns how many are left.

    Raises:
        TrainingInputError: ``folder`` holds another experiment.
        OutputError: a file cannot be written.
    """
    _check_same(plan, folder)
    missing = [unit for unit in units(plan) if not _result_path(folder, unit).is_file()]
    todo = missing if limit is None else missing[:limit]
    for unit in todo:
        _do(plan, unit, folder)
    return len(missing) - len(todo)


def results(plan: LotteryPlan, folder: Path) -> dict[str, Any]:
    """The experiment and what its finished units found, as JSON holds it."""
    found = [json.loads(path.read_text()) for unit in units(plan) if (path := _result_path(folder, unit)).is_file()]
    return {"version": 1, "plan": asdict(plan), "units": found}


def _do(plan: LotteryPlan, unit: Unit, folder: Path) -> None:
    spec = plan.spec(unit.seed)
    first_weights = spec if unit.kind != RANDOM else plan.spec(unit.seed + _OTHER_WEIGHTS)
    model = build_model(spec, learning_environments(spec))
    before = Unit(DENSE if unit.round == 1 else TICKET, unit.seed, unit.round - 1)
    masks = None
    if unit.kind == TICKET:
        masks = _load(folder, before)["masks"]
        model.policy.load_state_dict(_load(folder, Unit(DENSE, unit.seed, 0))["rewind"])
    elif unit.kind == RANDOM:
        other = build_model(first_weights, learning_environments(first_weights))
        model.policy.load_state_dict(other.policy.state_dict())
        _close(other)
        ticket = _load(folder, before)["masks"]
        drawn = int(seeding.generator(unit.seed, "lottery", unit.name).integers(2**31))
        masks = random_masks(ticket, torch.Generator().manual_seed(drawn))
    masked = Masked(model.policy, masks)
    watch = _Watch(masked, plan.rewind)
    model.learn(spec.steps, callback=watch)
    masked.apply()
    returns = _returns(plan, spec, model)
    _close(model)
    if unit.kind != RANDOM and unit.round < plan.rounds:
        following = magnitude_masks(acting_weights(model.policy), plan.sparsity(unit.round + 1), masked.masks)
        _save(folder, unit, {"masks": following, **({"rewind": watch.rewound} if unit.kind == DENSE else {})})
    elif unit.kind == DENSE:
        _save(folder, unit, {"masks": {}, "rewind": watch.rewound})
    found = {**asdict(unit), "sparsity": sparsity_of(masked.masks), "steps": model.num_timesteps, "returns": returns}
    found["learning"] = watch.learning
    write_atomic(_result_path(folder, unit), json.dumps(found).encode())


class _Watch(BaseCallback):
    """Applies the masks (TRPO has no optimizer for its actor), keeps the rewind weights, counts episodes."""

    def __init__(self, masked: Masked, rewind: int) -> None:
        super().__init__()
        self._masked, self._rewind = masked, rewind
        self.rewound: dict[str, Tensor] = {}
        self.learning: list[tuple[int, float]] = []

    def _on_rollout_start(self) -> None:
        self._masked.apply()
        if not self.rewound and self.model.num_timesteps >= self._rewind:
            self.rewound = {name: tensor.clone() for name, tensor in self.model.policy.state_dict().items()}

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self.learning.append((self.model.num_timesteps, float(info["episode"]["r"])))
        return True


def _returns(plan: LotteryPlan, spec: TrainingSpec, model: BaseAlgorithm) -> list[float]:
    judge = Evaluator(evaluation_environment(spec), spec.seed, plan.episodes)
    try:
        layer = None if model.env is None else normaliser(model.env)
        return [float(value) for value in judge.evaluate(model, layer).returns]
    finally:
        judge.close()


def _close(model: BaseAlgorithm) -> None:
    if model.env is not None:
        model.env.close()


def _result_path(folder: Path, unit: Unit) -> Path:
    return folder / f"{unit.name}.json"


def _save(folder: Path, unit: Unit, tensors: dict[str, Any]) -> None:
    content = io.BytesIO()
    torch.save(tensors, content)
    write_atomic(folder / f"{unit.name}.pt", content.getvalue())


def _load(folder: Path, unit: Unit) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = torch.load(folder / f"{unit.name}.pt", map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingInputError(
            "The file of an earlier unit of the experiment cannot be read.",
            got=f"{unit.name}: {type(error).__name__}",
            expected="the file that it wrote",
            hint=f"Delete {_result_path(folder, unit)} to train it again.",
        ) from error
    return loaded


def _check_same(plan: LotteryPlan, folder: Path) -> None:
    """Check that ``folder`` is empty or holds this experiment; seeds may be added."""
    path = folder / "plan.json"
    text = json.dumps({name: value for name, value in asdict(plan).items() if name != "seeds"}, sort_keys=True)
    if path.is_file() and path.read_text() != text:
        raise TrainingInputError(
            "The folder holds another lottery-ticket experiment.",
            got=path.read_text()[:300],
            expected=text,
            hint="Choose another folder.",
        )
    write_atomic(path, text.encode())
