"""``policypress study``: run, watch and retry studies of many agents and recipes."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from policypress.agents.near_files import check_there
from policypress.cli import console
from policypress.cli.completion import EXECUTORS, EXPORTS, one_of
from policypress.cli.console import INTERRUPTED_MESSAGE, echo, marked, print_json, print_notices, progress_bar
from policypress.cli.options import JsonOption
from policypress_runtime.errors import StudyInputError

if TYPE_CHECKING:
    from rich.table import Table

    from policypress.study.estimate import Estimate
    from policypress.study.status import StudyStatus
    from policypress.study.whole_study import Part, Study

app = typer.Typer(
    name="study",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Studies: many agents and recipes in one database.",
)


def _there(context: typer.Context, spec: Path) -> Path:
    """The same path, if something lies there: what reads it takes seconds to import. Completion takes any path."""
    if not context.resilient_parsing:
        check_there(spec, error=StudyInputError, expected="a study file (YAML)", suffixes=(".yml", ".yaml"))
    return spec


SpecArgument = Annotated[Path, typer.Argument(metavar="SPEC", help="A study file (YAML).", callback=_there)]
FolderOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="DIR", help="Results folder; default: next to the study file."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value: environments=v5, evaluation.episodes=10."),
]
JobsOption = Annotated[int | None, typer.Option("--jobs", min=1, help="Number of processes; default: one per core.")]
ExecutorOption = Annotated[
    str,
    typer.Option(
        "--executor", help="local (processes), debug (this process) or ray.", autocompletion=one_of(EXECUTORS)
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", metavar="HOST:PORT", help="Address of a running Ray cluster; default: start one."),
]
NoCostsOption = Annotated[bool, typer.Option("--no-costs", help="Skip the costs for now: they need an idle machine.")]
CostsOnlyOption = Annotated[
    bool, typer.Option("--costs-only", help="Only measure the costs of agents with known returns.")
]


@app.command()
def run(
    spec: SpecArgument,
    output: FolderOption = None,
    changes: SetOption = None,
    executor: ExecutorOption = "local",
    jobs: JobsOption = None,
    address: AddressOption = None,
    no_costs: NoCostsOption = False,
    costs_only: CostsOnlyOption = False,
    estimate: Annotated[bool, typer.Option("--estimate", help="Print the expected effort, and stop.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the rest of a study. If interrupted or killed, run the same command again to continue.

    Examples:
      policypress study run papers/li2023/studies/li2023.yml --estimate
      policypress study run papers/li2023/studies/li2023.yml --jobs 2
      policypress study run papers/lu2024/studies/lu2024.yml --set environments=v5
      policypress study run papers/lu2024/studies/lu2024-small.yml --no-costs      # now, beside other work
      policypress study run papers/lu2024/studies/lu2024-small.yml --costs-only    # later, alone on the machine
    """
    how = _How(executor, jobs, address, _part(no_costs, costs_only))
    _run(spec, output, changes, how, retry=False, only_estimate=estimate, as_json=as_json)


@app.command()
def retry(
    spec: SpecArgument,
    output: FolderOption = None,
    changes: SetOption = None,
    executor: ExecutorOption = "local",
    jobs: JobsOption = None,
    address: AddressOption = None,
    no_costs: NoCostsOption = False,
    costs_only: CostsOnlyOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a study and retry the cells that failed before."""
    how = _How(executor, jobs, address, _part(no_costs, costs_only))
    _run(spec, output, changes, how, retry=True, only_estimate=False, as_json=as_json)


@app.command()
def status(
    spec: SpecArgument,
    output: FolderOption = None,
    changes: SetOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every few seconds, until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the progress of a study: cells done, running, failed and left. Works while it runs."""
    from policypress.study.status import study_status
    from policypress.study.whole_study import open_study

    study = open_study(spec, output, changes or ())
    if as_json:
        print_json(study_status(study).to_json())
    elif watch:
        _watch(study)
    else:
        _draw(study_status(study))


@app.command()
def keep(
    spec: SpecArgument,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder of trained agents.")],
    output: FolderOption = None,
    changes: SetOption = None,
) -> None:
    """Copy the agents that a study has trained, as policy-only zips, to a folder for `trained:` in study files."""
    from policypress.study.kept_agents import keep as keep_agents
    from policypress.study.whole_study import open_study

    study = open_study(spec, output, changes or ())
    trained = [(agent.identity, agent.name) for agent in study.plan.agents.values() if agent.training is not None]
    places = keep_agents(study.folder, trained, to)
    echo(f"{len(places)} of {len(trained)} agents are in {to}")


@app.command()
def report(
    spec: SpecArgument,
    to: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the report.")],
    results: Annotated[
        Path | None, typer.Option("--results", metavar="DIR", help="Results folder; default: next to the study file.")
    ] = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the report of a study from its database: a page, data, tables and figures.

    The study file says which kind of report (`report: NAME`); without it, it is the general one.

    Examples:
      policypress study report papers/li2023/studies/li2023.yml -o report
      policypress study report papers/lu2024/studies/lu2024-small.yml -o report
    """
    from policypress.engine.store.reader import STORE_NAME, StoreReader
    from policypress.study.report_plugins import report_writer
    from policypress.study.spec_header import read_header

    header = read_header(spec, changes or ())
    path = (results or spec.parent / header.name) / STORE_NAME
    if not path.is_file():
        raise StudyInputError(
            "The study has no results yet.",
            got=f"no {path}",
            expected="its results folder, as written by `policypress study run`",
            hint=f"Run `policypress study run {shlex.quote(str(spec))}` first, or name the folder with --results.",
        )
    write = report_writer(header.report)
    with StoreReader(path) as store:
        files = [str(file) for file in write(store, header, to)]
    if as_json:
        print_json({"schema": 1, "page": files[0], "files": files})
    else:
        echo(f"report: {files[0]}")


@app.command()
def export(
    spec: SpecArgument,
    form: Annotated[
        str,
        typer.Option(
            "--to", metavar="parquet|mlflow", help="Files, or runs of an experiment.", autocompletion=one_of(EXPORTS)
        ),
    ],
    to: Annotated[
        str, typer.Option("-o", "--output", metavar="DIR|URI", help="A folder, or the address of a tracking server.")
    ],
    results: Annotated[
        Path | None, typer.Option("--results", metavar="DIR", help="Results folder; default: next to the study file.")
    ] = None,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export a study's results to other tools. Works while the study runs, and can be repeated.

    Examples:
      policypress study export papers/lu2024/studies/lu2024-small.yml --to parquet -o tables
      policypress study export papers/lu2024/studies/lu2024-small.yml --to mlflow -o http://localhost:5000
    """
    from policypress.engine.store.reader import STORE_NAME, StoreReader
    from policypress.study.spec import read_spec

    if form not in EXPORTS:
        raise StudyInputError("This export format is not supported.", got=f"--to {form}", expected=", ".join(EXPORTS))
    read = read_spec(spec, changes or ())
    with StoreReader((results or spec.parent / read.name) / STORE_NAME) as store:
        if form == "parquet":
            from policypress.study.parquet_tables import write_tables

            files = [str(path) for path in write_tables(store, Path(to))]
            told: dict[str, Any] = {"files": files}
            line = f"{len(files)} tables in {to}"
        else:
            from policypress.study.flat_results import flat_results
            from policypress.study.mlflow_runs import log_runs

            made, kept = log_runs(flat_results(store), read.name, to)
            told, line = {"made": made, "kept": kept}, f"{made} runs made, {kept} were there: {to}"
    if as_json:
        print_json({"schema": 1, **told})
    else:
        echo(line)


def _watch(study: Study) -> None:
    import time

    from rich.live import Live

    from policypress.study.status import study_status

    with Live(_table(study_status(study)), console=console.out, refresh_per_second=1) as live:
        while (now := study_status(study)).counts["pending"] + now.counts["running"]:
            live.update(_table(now))
            time.sleep(2)
        live.update(_table(now))


@dataclass(frozen=True)
class _How:
    """Where the tasks are done, and which."""

    executor: str
    jobs: int | None
    address: str | None
    part: Part = "all"

    def __post_init__(self) -> None:
        if self.executor not in EXECUTORS:
            raise StudyInputError("There is no such executor.", got=self.executor, expected=", ".join(EXECUTORS))
        if self.address is not None and self.executor != "ray":
            raise StudyInputError("Only Ray has an address.", got=f"--address with --executor {self.executor}")

    def make(self) -> Any:
        """The executor."""
        from policypress.engine.executors.choice import executor_of

        return executor_of(self.executor, self.jobs, self.address)

    def workers(self) -> int:
        """How many tasks are done at the same time, as far as it is known before."""
        from policypress.engine.executors.local_executor import core_count

        return 1 if self.executor == "debug" else self.jobs or core_count()


def _part(no_costs: bool, costs_only: bool) -> Part:
    if no_costs and costs_only:
        raise StudyInputError("There would be nothing to do.", got="--no-costs --costs-only", expected="one of them")
    return "returns" if no_costs else "costs" if costs_only else "all"


def _run(
    spec: Path,
    output: Path | None,
    changes: list[str] | None,
    how: _How,
    *,
    retry: bool,
    only_estimate: bool,
    as_json: bool,
) -> None:
    from policypress.cli.study_progress import StudyProgress
    from policypress.study.status import study_status
    from policypress.study.whole_study import open_study, run_whole_study

    study = open_study(spec, output, changes or ())
    print_notices(notice for agent in study.plan.agents.values() for notice in agent.notices)
    console.err.print(_told(study.left(), how.workers()))
    if only_estimate:
        return
    with progress_bar(refreshing=False) as bar:
        outcome = run_whole_study(study, how.make(), StudyProgress(bar), retry_failed=retry, part=how.part)
    print_notices(outcome.notices)
    now = study_status(study)
    if as_json:
        print_json(now.to_json())
    else:
        _draw(now)
        echo(f"results: {study.store}")
    if outcome.interrupted:
        console.err.print(INTERRUPTED_MESSAGE, style="yellow")
        raise typer.Exit(130)
    if outcome.failed:
        raise typer.Exit(1)


def _told(left: Estimate, workers: int) -> str:
    return (
        f"{left.cells} cells left: about {duration(left.wall_s(workers))} with {workers} "
        f"worker{'s' if workers > 1 else ''} ({duration(left.training_s)} of training, on one thread), "
        f"{left.disk_bytes / 1e6:.0f} MB"
    )


def duration(seconds: float) -> str:
    """A length of time for people.

    >>> duration(5400)
    '1.5 h'
    """
    for limit, unit, size in ((120.0, "s", 1.0), (7200.0, "min", 60.0), (172_800.0, "h", 3600.0)):
        if seconds < limit and not (unit == "min" and seconds >= 5400):
            return f"{seconds / size:.0f} {unit}" if unit != "h" else f"{seconds / size:.1f} h"
    return f"{seconds / 86_400:.1f} days"


def _draw(now: StudyStatus) -> None:
    console.out.print(_table(now))
    for told in now.failures:
        console.err.print(marked("failed:", "red", told))


def _table(now: StudyStatus) -> Table:
    from rich.table import Table

    table = Table(title=f"{now.name}: {now.summary()}", title_justify="left")
    table.add_column("agents")
    for name in ("cells", "done", "running", "failed", "left", "training"):
        table.add_column(name, justify="right")
    for row in now.rows:
        table.add_row(
            row.name,
            str(row.cells),
            str(row.done),
            str(row.running),
            str(row.failed),
            str(row.left),
            row.training,
        )
    return table
