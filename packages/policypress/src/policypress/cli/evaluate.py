"""``policypress evaluate``: returns of artifacts and agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from policypress.cli import console
from policypress.cli.agent_options import AgentOptions, check_files, with_agent_options
from policypress.cli.console import EPISODES, print_json, print_notices, progress_bar
from policypress.cli.options import (
    EpisodesOption,
    FilesArgument,
    JsonOption,
    MaxStepsOption,
    RuntimeOption,
    SeedOption,
)
from policypress_runtime.foreign_text import plain

if TYPE_CHECKING:
    from policypress.measurement.evaluation import Evaluation


@with_agent_options
def evaluate(
    files: FilesArgument,
    agent_options: AgentOptions,
    episodes: EpisodesOption = 100,
    seed: SeedOption = 0,
    max_steps: MaxStepsOption = None,
    runtime: RuntimeOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Evaluate artifacts or agents: deterministic episodes on the same seeds.

    Examples:
      policypress evaluate small.onnx examples/agents/sac-HalfCheetah-v4.zip --episodes 20
    """
    check_files(files)
    from policypress.measurement.evaluation import evaluate as run_evaluate
    from policypress.measurement.stated_facts import shared_between
    from policypress_runtime.runtimes.loading import runtime_named

    results: list[Evaluation] = []
    overrides, notices = shared_between(files, agent_options.overrides())
    with progress_bar() as bar:
        for file, facts in zip(files, overrides, strict=True):
            task = bar.add_task(plain(file), total=episodes, unit=EPISODES)
            stated = agent_options.stated(file, facts)
            results.append(
                run_evaluate(
                    file,
                    episodes=episodes,
                    seed=seed,
                    env=stated.environment,
                    max_steps=max_steps,
                    overrides=stated.overrides,
                    runtime=runtime_named(runtime),
                    on_episode=lambda _, task=task: bar.advance(task),  # type: ignore[misc]
                )
            )
    if as_json:
        print_json({"schema": 1, "evaluations": [_described(result) for result in results]})
        return
    print_notices([*notices, *(notice for result in results for notice in result.notices)])
    _show(results)


def _show(results: Sequence[Evaluation]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("file", "environment", "runtime", "episodes", "return", "95 % interval", "length"):
        table.add_column(heading, justify="left" if heading in ("file", "environment", "runtime") else "right")
    for result in results:
        table.add_row(*_cells(result))
    console.out.print(table)


def _cells(result: Evaluation) -> list[str]:
    from policypress.measurement.statistics import Missing

    returns = [row.episode_return for row in result.episodes]
    length = sum(row.length for row in result.episodes) / len(result.episodes)
    interval = "–" if isinstance(result.mean, Missing) else f"[{result.mean.lower:.4g}, {result.mean.upper:.4g}]"
    mean = f"{sum(returns) / len(returns):.4g}"
    runtime = result.protocol.runtime
    return [result.name, result.environment.id, runtime, str(len(returns)), mean, interval, f"{length:.1f}"]


def _described(result: Evaluation) -> dict[str, object]:
    from policypress.measurement.statistics import Missing

    return {
        "file": result.name,
        "environment": result.environment.to_json(),
        "protocol": result.protocol.to_json(),
        "returns": [row.episode_return for row in result.episodes],
        "lengths": [row.length for row in result.episodes],
        "endings": [row.ending for row in result.episodes],
        "cpu_s": [row.cpu_s for row in result.episodes],
        "mean_return": None if isinstance(result.mean, Missing) else vars(result.mean),
        "notices": list(result.notices),
    }
