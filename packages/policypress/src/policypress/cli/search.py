"""``policypress search``: the search of ``compress``, with episodes that are played elsewhere."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from policypress.cli.agent_options import AgentOptions, with_agent_options
from policypress.cli.console import echo, print_json, print_notices, progress_bar
from policypress.cli.options import (
    AgentArgument,
    BestReturnOption,
    ConfidenceOption,
    JsonOption,
    KeepOption,
    MaxFallsOption,
    SeedOption,
    WorstReturnOption,
)
from policypress.search.defaults import MAX_EPISODES

if TYPE_CHECKING:
    from policypress.search.elsewhere.ask_and_tell import Round

app = typer.Typer(
    name="search",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="The search of compress, with episodes that are played elsewhere: in another simulator or on a robot.",
)

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a search that was started.")]
_OF_RANDOM = (
    "random stands for random actions: draw each evenly from the action space. Where nobody should play that, start "
    "the search with --random-return R."
)


@app.command()
@with_agent_options
def start(
    agent: AgentArgument,
    agent_options: AgentOptions,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the search.")],
    observations: Annotated[
        Path,
        typer.Option("--observations", metavar="NPZ", help="Recorded observations, to calibrate and compare on."),
    ],
    keep: KeepOption = 0.95,
    confidence: ConfidenceOption = 0.95,
    worst_return: WorstReturnOption = None,
    best_return: BestReturnOption = None,
    random_return: Annotated[
        float | None,
        typer.Option("--random-return", metavar="R", help="What random actions return, if nobody shall play them."),
    ] = None,
    max_falls: MaxFallsOption = None,
    falls: Annotated[
        str | None, typer.Option("--falls", metavar="RULE", help="terminated, score<SHARE or return<VALUE.")
    ] = None,
    minimize: Annotated[
        str, typer.Option("--minimize", metavar="WHAT", help="What to minimize: size or macs.")
    ] = "size",
    max_episodes: Annotated[
        int, typer.Option("--max-episodes", metavar="N", help="Episode limit, over all policies.")
    ] = MAX_EPISODES,
    at_once: Annotated[
        int, typer.Option("--at-once", metavar="N", help="Candidates that are asked for in one round.")
    ] = 4,
    training_free: Annotated[
        bool, typer.Option("--training-free", help="Skip recipes that need training: faster, less small.")
    ] = False,
    seed: SeedOption = 0,
) -> None:
    """Start a search whose episodes are played elsewhere. Nothing is built yet: search ask does that.

    The agent and the observations are read again by every later command: leave them where they are.

    Examples:
      policypress search start agent.zip --observations logged.npz -o out
      policypress search start model.pt --activation elu --observations logged.npz --random-return 0 -o out
    """
    stated: dict[str, Any] = {name: value for name, value in vars(agent_options).items() if value not in (None, False)}
    environment = agent_options.stated(agent).environment
    from policypress.search.elsewhere.ask_and_tell import Search
    from policypress.search.elsewhere.settings import AskOptions

    options = AskOptions(
        keep=keep,
        confidence=confidence,
        minimize=minimize,
        max_episodes=max_episodes,
        training=not training_free,
        seed=seed,
        worst_return=worst_return,
        best_return=best_return,
        max_falls=max_falls,
        falls=falls,
        random_return=random_return,
        at_once=at_once,
    )
    facts = {name: value for name, value in stated.items() if name not in ("env", "env_kwargs", "wrapper")}
    Search.start(agent, output, observations=observations, options=options, env=environment, stated=facts)
    echo(f"started: {output}")
    echo(f"now: policypress search ask {shlex.quote(str(output))}")


@app.command()
def ask(
    folder: FolderArgument,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Number of processes; default: one per core.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Build and choose until episodes are missing, and write the table of them, DIR/play.csv; or end the search.

    The table has a row for each episode: the artifact that acts (a path in DIR), the seed for the simulator, and the
    return, which you fill in. If interrupted, or if the table is lost, run the same command again.

    Examples:
      policypress search ask out
      policypress search ask out --json
    """
    from policypress.cli.compress import show_done
    from policypress.cli.study_progress import StudyProgress
    from policypress.search.elsewhere.ask_and_tell import Search

    with progress_bar(refreshing=False) as bar:
        now = Search(folder, jobs=jobs, on_event=StudyProgress(bar)).ask()
    if now.found is not None:
        show_done(now.found, folder, as_json=as_json)
    elif as_json:
        plays = [{"artifact": play.artifact, "recipe": play.recipe, "seeds": list(play.seeds)} for play in now.plays]
        print_json({"schema": 1, "ending": "waiting", "table": str(now.table), "play": plays})
    else:
        _show(now, folder)


@app.command()
def tell(
    folder: FolderArgument,
    returns: Annotated[
        Path, typer.Argument(metavar="CSV", help="Columns artifact, seed and return: the filled table.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Take the returns of episodes that were asked for; rows without a return were not played yet.

    Telling the same rows again changes nothing. If a row cannot be taken, none is.

    Examples:
      policypress search tell out out/play.csv
    """
    from policypress.search.elsewhere.ask_and_tell import Search

    told = Search(folder).tell_file(returns)
    if as_json:
        print_json({"schema": 1, **vars(told)})
        return
    known = f", {told.known} were known" if told.known else ""
    echo(f"{told.new} returns taken{known}; {told.missing} are still missing")
    if not told.missing:
        echo(f"now: policypress search ask {shlex.quote(str(folder))}")


def _show(now: Round, folder: Path) -> None:
    width = max(len(play.artifact) for play in now.plays)
    for play in now.plays:
        recipe = "" if play.recipe == play.artifact else play.recipe
        echo(f"play {len(play.seeds):4d} × {play.artifact:{width}}  {recipe}")
    if any(play.recipe == play.artifact for play in now.plays):
        print_notices((_OF_RANDOM,))
    following = f"policypress search tell {shlex.quote(str(folder))} {shlex.quote(str(now.table))}"
    echo(f"table: {now.table}; fill in the column return, then: {following}")
