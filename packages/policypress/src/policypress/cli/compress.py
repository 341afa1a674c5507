"""``policypress compress``: an agent, several recipes, and what each keeps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from policypress.cli import console
from policypress.cli.agent_options import AgentOptions, with_agent_options
from policypress.cli.completion import OBJECTIVES, RUNTIMES, one_of, recipes
from policypress.cli.console import INTERRUPTED_MESSAGE, echo, marked, print_json, print_notices, progress_bar
from policypress.cli.options import (
    ENVIRONMENT,
    EXPERT,
    GOAL,
    MEASURING,
    AgentArgument,
    BestReturnOption,
    ConfidenceOption,
    EpisodesOption,
    JsonOption,
    KeepOption,
    MaxFallsOption,
    MaxStepsOption,
    SeedOption,
    WorstReturnOption,
)
from policypress.search.defaults import BUDGET_MINUTES, CLASSIC, MAX_EPISODES
from policypress_runtime.errors import EnvironmentFailedError, StudyInputError

if TYPE_CHECKING:
    from policypress.engine.tasks.task import Failure
    from policypress.report.folder import Deployment
    from policypress.report.results import Results
    from policypress.search.found.compressed import Compressed
    from policypress.search.options import CompressOptions


@with_agent_options
def compress(
    agent: AgentArgument,
    agent_options: AgentOptions,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Output folder.")],
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            "--recipe",
            metavar="R",
            help='No search: e.g. "prune(l2, 0.3) > equalize > int8"; repeatable.',
            autocompletion=recipes,
            rich_help_panel=GOAL,
        ),
    ] = None,
    classic: Annotated[
        bool,
        typer.Option("--classic", help="No search: the recipes of the papers, next to ours.", rich_help_panel=GOAL),
    ] = False,
    keep: KeepOption = 0.95,
    confidence: ConfidenceOption = 0.95,
    worst_return: WorstReturnOption = None,
    best_return: BestReturnOption = None,
    max_falls: MaxFallsOption = None,
    falls: Annotated[
        str | None,
        typer.Option(
            "--falls",
            metavar="RULE",
            help="terminated, score<SHARE, return<VALUE or info:KEY.",
            rich_help_panel=GOAL,
        ),
    ] = None,
    minimize: Annotated[
        str,
        typer.Option(
            "--minimize",
            metavar="WHAT",
            help="What to minimize: size, latency, energy or macs.",
            autocompletion=one_of(OBJECTIVES),
            rich_help_panel=GOAL,
        ),
    ] = "size",
    budget_minutes: Annotated[
        float,
        typer.Option(
            "--budget-minutes",
            metavar="MIN",
            help="Of a search, its certificate and costs included.",
            rich_help_panel=GOAL,
        ),
    ] = BUDGET_MINUTES,
    max_episodes: Annotated[
        int,
        typer.Option(
            "--max-episodes", metavar="N", help="Episode limit of a search, over all policies.", rich_help_panel=GOAL
        ),
    ] = MAX_EPISODES,
    training_free: Annotated[
        bool,
        typer.Option(
            "--training-free", help="Skip recipes that need training: faster, less small.", rich_help_panel=GOAL
        ),
    ] = False,
    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness",
            help="Also evaluate under noise, delay, changed mass and friction.",
            rich_help_panel=MEASURING,
        ),
    ] = False,
    observations: Annotated[
        Path | None,
        typer.Option(
            "--observations",
            metavar="NPZ",
            help="Recorded observations instead of an environment.",
            rich_help_panel=ENVIRONMENT,
        ),
    ] = None,
    max_action_error: Annotated[
        float | None,
        typer.Option(
            "--max-action-error",
            metavar="E",
            help="With --observations: the smallest within this error.",
            rich_help_panel=ENVIRONMENT,
        ),
    ] = None,
    episodes: EpisodesOption = 100,
    seed: SeedOption = 0,
    max_steps: MaxStepsOption = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", min=1, help="Number of processes; default: one per core.", rich_help_panel=EXPERT),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Retry what failed before.", rich_help_panel=EXPERT)
    ] = False,
    no_costs: Annotated[
        bool, typer.Option("--no-costs", help="Do not measure latency, memory and energy.", rich_help_panel=MEASURING)
    ] = False,
    watts_per_core: Annotated[
        float | None,
        typer.Option(
            "--watts-per-core",
            metavar="W",
            help="Power of a busy core, if there is no energy meter.",
            rich_help_panel=MEASURING,
        ),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime",
            metavar="NAME",
            help="native, onnxruntime or auto (in a search: onnxruntime).",
            autocompletion=one_of(RUNTIMES),
            rich_help_panel=MEASURING,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the smallest policy that keeps the return of an agent, or compress the agent with given recipes.

    Without --recipe and --classic it searches, and certifies the winner on held-out episodes.
    If interrupted, run the same command again to continue.

    Examples:
      policypress compress examples/agents/sac-HalfCheetah-v4.zip -o out
      policypress compress agent.zip --keep 0.9 --minimize latency --budget-minutes 30 --robustness -o out
      policypress compress agent.zip --env Hopper-v4 --recipe "equalize > int8" --episodes 30 -o out
      policypress compress agent.zip --env my_package.envs:Arm-v0 --env-kwargs friction=0.3 --classic -o out
      policypress compress policy.onnx --observations logged.npz --recipe "equalize > int8" -o out
      policypress compress policy.onnx --observations logged.npz --max-action-error 0.01 -o out
    """
    if recipe and classic:
        raise StudyInputError("Either --recipe or --classic.", got="both", expected="one of them, or none to search")
    stated = agent_options.stated(agent)
    from policypress.search.options import CompressOptions
    from policypress_runtime.runtimes.loading import runtime_named

    options = CompressOptions(
        recipes=recipe or (CLASSIC if classic else None),
        keep=keep,
        confidence=confidence,
        worst_return=worst_return,
        best_return=best_return,
        max_falls=max_falls,
        falls=falls,
        minimize=minimize,
        budget_minutes=budget_minutes,
        max_episodes=max_episodes,
        training=not training_free,
        episodes=episodes,
        seed=seed,
        env=stated.environment,
        observations=observations,
        max_action_error=max_action_error,
        max_steps=max_steps,
        overrides=stated.overrides,
        jobs=jobs,
        retry_failed=retry_failed,
        costs=not no_costs,
        watts_per_core=watts_per_core,
        robustness=robustness,
        runtime=None if runtime is None else runtime_named(runtime),
    )
    _run(agent, output, options, as_json=as_json)


def _run(agent: str, output: Path, options: CompressOptions, *, as_json: bool) -> None:
    from policypress.cli.study_progress import StudyProgress
    from policypress.search.compress import compress as run_compress

    with progress_bar(refreshing=False) as bar:
        done = run_compress(agent, output=output, on_event=StudyProgress(bar), options=options)
    show_done(done, output, as_json=as_json, played=options.observations is None)
    if done.outcome.interrupted:
        from policypress.report.words import RANDOM_ACTIONS

        left = [RANDOM_ACTIONS if cell.kind == "random" else cell.recipe for cell in done.outcome.left]
        console.err.print(INTERRUPTED_MESSAGE, style="yellow")
        console.err.print(f"not complete: {', '.join(dict.fromkeys(left)) or 'the costs'}")
        raise typer.Exit(130)
    if done.outcome.failed and done.history is None:
        raise typer.Exit(_told_failures([failure for _, failure in done.outcome.failed]))


def show_done(done: Compressed, output: Path, *, as_json: bool, played: bool = True) -> None:
    """Print what was found, and write the report into its folder.

    Args:
        done: what ``compress`` did.
        output: the folder, as the user named it.
        as_json: print the results as JSON.
        played: whether there were episodes.
    """
    from policypress.engine.store.reader import StoreReader
    from policypress.measurement.machine import fingerprint
    from policypress.report.folder import write_folder
    from policypress.report.results import read_results

    with StoreReader(done.store) as store:
        results = read_results(store, done.groups, fingerprint(), done.history, done.robustness)
        print_notices(done.notices)
        if not as_json:
            _show(results, played=played)
        deployment = _deployment(results, store.folder)
        report = write_folder(results, store, deployment)
    if as_json:
        print_json(results.to_json())
    else:
        for line in () if deployment is None else deployment.lines(str(output)):
            echo(f"deploy: {line}")
        echo(f"report: {report}")


def _deployment(results: Results, folder: Path) -> Deployment | None:
    """The winner's C, for the folder of the report; None where nothing has won."""
    winner = results.winner
    if winner is None or winner.artifact is None:
        return None
    from policypress.report.folder import Deployment
    from policypress.search.deployment import c_of_winner

    files, notices = c_of_winner(folder / winner.artifact.path)
    print_notices(notices)
    return Deployment(files)


def _told_failures(failures: list[Failure]) -> int:
    """The exit code for failed cells; tells how to continue if the user's environment failed."""
    blamed = [failure.kind == EnvironmentFailedError.__name__ for failure in failures]
    if any(blamed):
        console.err.print("Fix the environment, then run the same command with --retry-failed.")
    return EnvironmentFailedError.exit_code if all(blamed) else 1


def _show(results: Results, *, played: bool) -> None:
    from policypress.report.search_words import closing
    from policypress.report.table import NOT_CERTIFIED, comparison, reasons

    console.out.print(comparison(results.shown, console.out.width))
    if played:
        console.out.print("retention: fraction of the return above random actions that is kept, with its 95 % interval")
        for reason in reasons(results.shown):
            console.out.print(reason)
        for sentence in closing(results):
            console.out.print(sentence)
    else:
        console.out.print(NOT_CERTIFIED)
    for row in results.rows:
        if row.failure is not None:
            console.err.print(marked(f"{row.name}:", "red", row.failure))
