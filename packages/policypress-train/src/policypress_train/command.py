"""``policypress train``: an agent from nothing, in fp32 or with quantization-aware training."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from policypress.agents.algorithm_names import algorithm_name
from policypress.agents.near_files import check_there
from policypress.cli import console
from policypress.cli.completion import KERNELS, PUBLISHERS, UPDATES, algorithms, one_of
from policypress.cli.console import print_json, print_notices, progress_bar
from policypress.cli.options import EnvKwargsOption, JsonOption, SeedOption, WrapperOption
from policypress_runtime.foreign_text import plain

if TYPE_CHECKING:
    from rich.progress import Progress

    from policypress_train.record import TrainingEvaluation, TrainingRecord
    from policypress_train.spec import TrainingSpec

_REDRAW_S = 0.2


def train(
    algorithm: Annotated[
        str, typer.Argument(metavar="ALGO", help="dqn, ddpg, td3, sac, ppo or trpo.", autocompletion=algorithms)
    ],
    env: Annotated[str, typer.Argument(metavar="ENV", help="Environment id, or package.module:MyEnv-v0.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="ZIP", help="Output zip; a folder is written next to it.")
    ],
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Environment steps; default: the published number.")
    ] = None,
    episodes: Annotated[
        int | None,
        typer.Option("--episodes", min=1, help="Training episodes; --steps then only sets the schedules."),
    ] = None,
    seed: SeedOption = 0,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.")] = "cpu",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Hyperparameter, e.g. learning_rate=1e-3; repeatable."),
    ] = None,
    published: Annotated[
        str,
        typer.Option(
            "--published",
            metavar="NAME",
            help="Hyperparameters of zoo (RL Zoo) or li2023.",
            autocompletion=one_of(PUBLISHERS),
        ),
    ] = "zoo",
    qat: Annotated[bool, typer.Option("--qat", help="Quantization-aware training.")] = False,
    qat_settings: Annotated[
        list[str] | None,
        typer.Option(
            "--qat-set", metavar="NAME=VALUE", help="QAT setting, e.g. weight_bits=4; implies --qat; repeatable."
        ),
    ] = None,
    start_from: Annotated[
        Path | None, typer.Option("--from", metavar="ZIP", help="Fine-tune this agent's networks.")
    ] = None,
    normalizer: Annotated[
        str | None,
        typer.Option("--normalizer", metavar="FILE|none", help="VecNormalize statistics of the agent of --from."),
    ] = None,
    sparse: Annotated[
        list[str] | None,
        typer.Option("--sparse", metavar="NAME=VALUE", help="Group-sparse training, e.g. alpha=4; repeatable."),
    ] = None,
    prune: Annotated[
        float | None, typer.Option("--prune", help="Fraction of weights to prune gradually, by magnitude.")
    ] = None,
    env_kwargs: EnvKwargsOption = None,
    wrapper: WrapperOption = None,
    eval_every: Annotated[
        int | None, typer.Option("--eval-every", min=0, help="Steps between evaluations; 0 for none.")
    ] = None,
    eval_episodes: Annotated[int, typer.Option("--eval-episodes", min=1, help="Episodes of each evaluation.")] = 5,
    checkpoint_every: Annotated[
        int, typer.Option("--checkpoint-every", min=1, help="Steps between checkpoints.")
    ] = 10_000,
    tensorboard: Annotated[
        Path | None, typer.Option("--tensorboard", metavar="FOLDER", help="Folder for TensorBoard logs.")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of torch.")] = 1,
    update: Annotated[
        str,
        typer.Option(
            "--update", help="native (C), fast, auto (native if supported) or stock.", autocompletion=one_of(UPDATES)
        ),
    ] = "auto",
    kernels: Annotated[
        str | None,
        typer.Option(
            "--kernels",
            metavar="NAME",
            help="Kernels of the native update: amx, avx512, avx2 or plain.",
            autocompletion=one_of(KERNELS),
        ),
    ] = None,
    strip: Annotated[bool, typer.Option("--strip", help="Also write a small policy-only zip.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train an agent with published hyperparameters. If interrupted, run the same command again to resume.

    Examples:
      policypress train dqn CartPole-v1 -o cartpole.zip
      policypress train dqn CartPole-v1 --qat --qat-set weight_bits=4 -o cartpole-4.zip
      policypress train dqn CartPole-v0 --published li2023 --episodes 200 -o cartpole.zip
      policypress train sac HalfCheetah-v4 --steps 300000 --seed 1 --set learning_rate=1e-3 -o cheetah.zip
    """
    algorithm = algorithm_name(algorithm)
    if start_from is not None:
        check_there(start_from)
    # Only here, so that completion and help do without the libraries that train.
    from policypress.environments.trust import user_environment
    from policypress.training_package import TrainingRequest
    from policypress_train.hyperparameters.preparing import checked_update, prepare, qat_config
    from policypress_train.hyperparameters.settings import parse_assignment
    from policypress_train.trainer import TrainOptions
    from policypress_train.trainer import train as run_training

    request = TrainingRequest(
        algorithm,
        user_environment(env, env_kwargs or (), wrapper or ()),
        steps=steps,
        seed=seed,
        device=device,
        qat=qat_config(parse_assignment(text) for text in qat_settings or ()) if qat or qat_settings else None,
        update=checked_update(update),
        kernels=kernels,
        start_from=start_from,
        start_normalizer=normalizer,
        sparse=None if sparse is None else [parse_assignment(text) for text in sparse],
        prune=prune,
        episodes=episodes,
        by=published,
        overrides=[parse_assignment(text) for text in settings or ()],
    )
    prepared = prepare(request)
    print_notices(prepared.notices)
    options = TrainOptions(eval_every, eval_episodes, checkpoint_every, tensorboard, threads, strip)
    with progress_bar() as bar:
        record = run_training(
            prepared.spec,
            output,
            source=prepared.source,
            options=options,
            progress=_Drawn(bar, f"{algorithm} {env}", prepared.spec),
        )
    if as_json:
        print_json({"schema": 1, "agent": str(output), **record.to_json()})
    else:
        _show(output, record)


class _Drawn:
    """A bar over the steps or the episodes, and a line for every evaluation."""

    def __init__(self, bar: Progress, name: str, spec: TrainingSpec) -> None:
        self._bar, self._name = bar, plain(name)
        self._unit = "steps" if spec.episodes is None else "episodes"
        self._task: Any = None
        self._drawn_s = 0.0

    def started(self, steps: int, total: int, exact: bool | None) -> None:
        """Draw the bar."""
        self._task = self._bar.add_task(self._name, total=total, completed=steps, unit=self._unit)
        if exact is not None:
            how = "exactly" if exact else "with a new episode: this environment is not deterministic"
            console.err.print(f"resumed after {steps} {self._unit}, {how}")

    def advanced(self, steps: int) -> None:
        """Move the bar, a few times a second."""
        now_s = time.monotonic()
        if now_s - self._drawn_s > _REDRAW_S:
            self._bar.update(self._task, completed=steps)
            self._drawn_s = now_s

    def evaluated(self, evaluation: TrainingEvaluation) -> None:
        """Say how well it does."""
        spread = f"{min(evaluation.returns):.4g} to {max(evaluation.returns):.4g}"
        episodes = len(evaluation.returns)
        console.err.print(
            f"step {evaluation.step}: return {evaluation.mean_return:.4g} ({spread}, {episodes} episodes)"
        )


def _show(output: Path, record: TrainingRecord) -> None:
    speed = record.steps / record.wall_s if record.wall_s else 0.0
    done = f"{record.steps} steps, {len(record.episodes.step)} episodes"
    console.out.print(f"{output}: {done} in {record.wall_s:.0f} s ({speed:.0f} steps/s)")
    if record.evaluations:
        last = record.evaluations[-1]
        console.out.print(f"return {last.mean_return:.4g} over {len(last.returns)} deterministic episodes")
