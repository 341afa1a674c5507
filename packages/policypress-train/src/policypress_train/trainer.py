"""Training one agent: rounds of collecting and learning, with checkpoints, evaluations and a record."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from policypress_runtime.errors import TrainingInputError
from policypress_train.algorithms import ALGORITHMS
from policypress_train.checkpoints import checkpoint as checkpoints
from policypress_train.checkpoints.versions import versions
from policypress_train.evaluator import Evaluator
from policypress_train.fine_tuning import load_networks
from policypress_train.logs import logger_for
from policypress_train.memory import begins_here, memory_of, peak_resident_bytes, resident_bytes
from policypress_train.model import build_model
from policypress_train.outputs import OutputPaths, output_paths, read_record, write_outputs, write_stripped
from policypress_train.record import TrainingEvaluation, TrainingRecord
from policypress_train.sparse.magnitude import GradualPruning
from policypress_train.sparse.sparsity import GroupSparsity
from policypress_train.spec import TrainingSpec
from policypress_train.training_log import TrainingLog
from policypress_train.vector_envs.making import evaluation_environment, learning_environments, normaliser

CHECKPOINT_STEPS = 10_000
EVALUATIONS = 20
EVALUATION_EPISODES = 5
_OFF_POLICY_LOG_EPISODES = 4


@runtime_checkable
class Progress(Protocol):
    """Receives a training's progress: in steps, or in episodes if those are its budget."""

    def started(self, steps: int, total: int, exact: bool | None) -> None:
        """The training starts at ``steps``; ``exact``: whether it was resumed exactly, None if it was not resumed."""

    def advanced(self, steps: int) -> None:
        """``steps`` environment steps are done."""

    def evaluated(self, evaluation: TrainingEvaluation) -> None:
        """An evaluation is done."""


class Silent:
    """Ignores progress."""

    def started(self, steps: int, total: int, exact: bool | None) -> None:
        """Nothing."""

    def advanced(self, steps: int) -> None:
        """Nothing."""

    def evaluated(self, evaluation: TrainingEvaluation) -> None:
        """Nothing."""


@dataclass(frozen=True)
class TrainOptions:
    """Options of a training that do not change the weights it learns.

    Attributes:
        evaluate_every: environment steps between evaluations; None for a twentieth of the training; 0 for none.
        evaluation_episodes: of each.
        checkpoint_every: environment steps between checkpoints.
        tensorboard: folder of TensorBoard logs, or None.
        threads: of torch (more than one may change the last bits of sums).
        stripped: write the policy-only zip too.
        fresh_process: the caller has done nothing else in this process.
    """

    evaluate_every: int | None = None
    evaluation_episodes: int = EVALUATION_EPISODES
    checkpoint_every: int = CHECKPOINT_STEPS
    tensorboard: Path | None = None
    threads: int = 1
    stripped: bool = False
    fresh_process: bool = True


def train(
    spec: TrainingSpec,
    output: Path,
    *,
    source: str = "",
    options: TrainOptions | None = None,
    progress: Progress | None = None,
) -> TrainingRecord:
    """Train an agent, or resume its training; a finished training is not repeated.

    Args:
        spec: what to train.
        output: the zip; everything else goes into the folder of the same name.
        source: where the hyperparameters come from, for the record.
        options: see :class:`TrainOptions`.
        progress: receives the progress.

    Raises:
        TrainingInputError: the spec cannot be trained, or the output belongs to another training.
        EnvironmentInputError: the environment cannot be made.
        OutputError: a file cannot be written.
    """
    where, options, progress = output_paths(output), options or TrainOptions(), progress or Silent()
    done = read_record(where)
    if done is not None and where.zip.is_file():
        _check_same(done.spec_hash, spec, where)
        if options.stripped and not where.policy.is_file():
            write_stripped(where, spec)
        return done
    with _threads(options.threads):
        run = _Run(spec, where, options, progress)
        try:
            run.run()
            record = run.record(source)
            write_outputs(where, run.model, spec, record, stripped=options.stripped)
        finally:
            run.close()
    shutil.rmtree(where.checkpoint, ignore_errors=True)
    return record


class _Run:
    """One process's part of a training."""

    def __init__(self, spec: TrainingSpec, where: OutputPaths, options: TrainOptions, progress: Progress) -> None:
        self.spec, self.where, self.options, self.progress = spec, where, options, progress
        self._interval = options.evaluate_every
        if self._interval is None:
            self._interval = max(spec.steps // EVALUATIONS, 1)
        self.log = TrainingLog()
        self._last: checkpoints.Checkpoint | None = checkpoints.read(where.checkpoint)
        if self._last is not None:
            _check_same(self._last.plain["spec"], spec, where)
            self.log = TrainingLog.from_json(self._last.plain["story"])
        environments = learning_environments(spec)
        self._first_in_process = begins_here() and options.fresh_process
        self._before_rss = resident_bytes()
        self.model = build_model(spec, environments)
        if spec.start_from is not None and self._last is None:
            load_networks(self.model, Path(spec.start_from), spec.start_normalizer)
        if spec.sparse is not None:
            GroupSparsity(self.model.policy, **spec.sparse).attach()
        self.model.set_logger(logger_for(options.tensorboard))
        self._evaluator = Evaluator(evaluation_environment(spec), spec.seed, options.evaluation_episodes)

    def run(self) -> None:
        """Collect and learn until the spec's steps are done."""
        model = self.model
        watching: list[BaseCallback] = [_Watch(self.log, self.spec.episodes)]
        if self.spec.prune is not None:
            watching.append(GradualPruning(self.spec.prune))
        _, callback = model._setup_learn(self.spec.steps, watching, True)
        exact = None
        if self._last is not None:
            exact = checkpoints.restore(self.where.checkpoint, model, self._last)
            self.log.resumed.append((model.num_timesteps, exact))
        self.log.start()
        total = self._total()
        self.progress.started(self._done(), total, exact)
        callback.on_training_start(locals(), globals())
        step = round_of(model, callback)
        while self._done() < total:
            self._between_rounds()
            step()
            self.progress.advanced(self._done())
        callback.on_training_end()
        if self._evaluated() < model.num_timesteps:
            self._evaluate()

    def _total(self) -> int:
        return self.spec.steps if self.spec.episodes is None else self.spec.episodes

    def _done(self) -> int:
        return self.model.num_timesteps if self.spec.episodes is None else len(self.log.episodes.step)

    def record(self, source: str) -> TrainingRecord:
        """The training's record, at its end."""
        return TrainingRecord(
            spec=self.spec.to_json(),
            spec_hash=self.spec.hash,
            source=source,
            steps=self.model.num_timesteps,
            episodes=self.log.episodes,
            evaluations=tuple(self.log.evaluations),
            wall_s=round(self.log.wall_s(), 3),
            cpu_s=round(self.log.cpu_s(), 3),
            threads=self.options.threads,
            memory=memory_of(
                self.model,
                ALGORITHMS[self.spec.algorithm],
                self._before_rss,
                self.log.peak_rss_bytes,
                self._first_in_process,
            ),
            versions=versions(),
            resumed=tuple(self.log.resumed),
            kernels=getattr(self.model, "kernels", None),
        )

    def close(self) -> None:
        """Close the environments."""
        self._evaluator.close()
        if self.model.env is not None:
            self.model.env.close()

    def _between_rounds(self) -> None:
        steps = self.model.num_timesteps
        if self._interval and steps // self._interval > self._evaluated() // self._interval:
            self._evaluate()
        if steps - (0 if self._last is None else self._last.steps) >= self.options.checkpoint_every:
            self._checkpoint()

    def _evaluated(self) -> int:
        return self.log.evaluations[-1].step if self.log.evaluations else 0

    def _evaluate(self) -> None:
        if not self._interval:
            return
        environments = self.model.env
        layer = None if environments is None else normaliser(environments)
        evaluation = self._evaluator.evaluate(self.model, layer)
        self.log.evaluations.append(evaluation)
        self.model.logger.record("eval/mean_reward", evaluation.mean_return)
        self.progress.evaluated(evaluation)

    def _checkpoint(self) -> None:
        self.log.peak_rss_bytes = max(self.log.peak_rss_bytes, peak_resident_bytes())
        taken = checkpoints.capture(self.model, self.spec.hash, self.log.to_json())
        checkpoints.write(self.where.checkpoint, self.model, taken, self._last)
        # Of the one before, only the number of steps and the names of files are needed.
        self._last = checkpoints.Checkpoint(taken.plain, {}, taken.files)


def round_of(model: BaseAlgorithm, callback: BaseCallback) -> Callable[[], None]:
    """One iteration of the library's ``learn`` loop; between two, a training can be saved and resumed."""
    environments = model.env
    if environments is None:
        raise TrainingInputError("The algorithm has no environments.")
    if isinstance(model, OffPolicyAlgorithm):

        def off_policy() -> None:
            rollout = model.collect_rollouts(
                environments,
                callback,
                train_freq=model.train_freq,  # type: ignore[arg-type]  # set up by now
                replay_buffer=model.replay_buffer,  # type: ignore[arg-type]  # likewise
                action_noise=model.action_noise,
                learning_starts=model.learning_starts,
                log_interval=_OFF_POLICY_LOG_EPISODES,
            )
            if rollout.continue_training and model.num_timesteps > model.learning_starts:
                count = model.gradient_steps if model.gradient_steps >= 0 else rollout.episode_timesteps
                if count > 0:
                    model.train(gradient_steps=count, batch_size=model.batch_size)

        return off_policy
    if not isinstance(model, OnPolicyAlgorithm):
        raise TrainingInputError("Algorithms of this kind are not supported.", got=type(model).__name__)
    rounds = iter(range(1, 2**62))

    def on_policy() -> None:
        # As in the library, what was collected when a callback ends the training is not learned from.
        if not model.collect_rollouts(environments, callback, model.rollout_buffer, n_rollout_steps=model.n_steps):
            return
        model._update_current_progress_remaining(model.num_timesteps, model._total_timesteps)
        model.dump_logs(next(rounds))
        model.train()

    return on_policy


class _Watch(BaseCallback):
    """Records finished episodes, and ends the training when the episode budget is used up.

    An episode lasts from the end of the one before in its environment.
    """

    def __init__(self, log: TrainingLog, most: int | None) -> None:
        super().__init__()
        self._log = log
        self._most = most
        self._ended_s: dict[int, float] = {}
        self._start_s = time.monotonic()

    def _on_step(self) -> bool:
        for index, info in enumerate(self.locals["infos"]):
            ended = info.get("episode")
            if ended is not None:
                now_s = time.monotonic()
                duration_s = now_s - self._ended_s.get(index, self._start_s)
                self._ended_s[index] = now_s
                self._log.episode_ended(self.model.num_timesteps, ended, duration_s)
        return self._most is None or len(self._log.episodes.step) < self._most


def _check_same(stored: Any, spec: TrainingSpec, where: OutputPaths) -> None:
    if stored != spec.hash:
        raise TrainingInputError(
            "The output belongs to another training.",
            got=f"{where.folder}: a training with other settings ({stored})",
            expected=f"one with these settings ({spec.hash})",
            hint=f"Choose another output, or delete {where.folder} and {where.zip}.",
        )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
