"""``policypress bench``: latency of artifacts and agents, interleaved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from policypress.cli import console
from policypress.cli.agent_options import AgentOptions, check_files, with_agent_options
from policypress.cli.completion import RUNTIMES, one_of
from policypress.cli.console import print_json, print_notices
from policypress.cli.options import (
    FilesArgument,
    JsonOption,
    SeedOption,
)

if TYPE_CHECKING:
    from policypress.measurement.costs.latency import Latency

MICRO = 1e6


@with_agent_options
def bench(
    files: FilesArgument,
    agent_options: AgentOptions,
    samples: Annotated[int, typer.Option("--samples", min=10, help="Warm latency samples per file.")] = 2000,
    seed: SeedOption = 0,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            "--runtime",
            metavar="NAME",
            help="native, onnxruntime or auto; repeatable to compare.",
            autocompletion=one_of(RUNTIMES),
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the latency of one action from Python: batch 1, one thread, warm and cold, files in alternation.

    Examples:
      policypress bench small.onnx examples/agents/sac-HalfCheetah-v4.zip
      policypress bench small.onnx --runtime native --runtime onnxruntime
    """
    check_files(files)
    from policypress.measurement.costs.latency import benchmark
    from policypress.measurement.stated_facts import shared_between
    from policypress_runtime.runtimes.loading import runtime_named

    overrides = agent_options.overrides()
    shared, notices = shared_between(files, overrides)
    stated = agent_options.stated(files[0], shared[0])
    results = benchmark(
        files,
        samples=samples,
        seed=seed,
        overrides=overrides,
        env=stated.environment,
        runtimes=[runtime_named(name) for name in runtime or ["auto"]],
    )
    if as_json:
        print_json({"schema": 1, "latencies": [_described(result) for result in results]})
        return
    print_notices(notices)
    _show(results)


def _show(results: Sequence[Latency]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("file")
    table.add_column("runtime")
    for heading in ("p50", "p95", "p99", "p99.9", "max", "cold p50"):
        table.add_column(heading + " (µs)", justify="right")
    for result in results:
        table.add_row(*_cells(result))
    console.out.print(table)


def _cells(result: Latency) -> list[str]:
    from policypress.measurement.costs.latency import FLOOR

    warm, cold = result.percentiles_s("warm"), result.percentiles_s("cold")
    name = "harness floor (does nothing)" if result.name == FLOOR else result.name
    return [name, result.runtime, *(f"{MICRO * value:.2f}" for value in warm.values()), f"{MICRO * cold['p50']:.2f}"]


def _described(result: Latency) -> dict[str, object]:
    return {
        "file": result.name,
        "runtime": result.runtime,
        "warm_s": result.percentiles_s("warm"),
        "cold_s": result.percentiles_s("cold"),
        "protocol": dict(result.warm.protocol),
        "machine": dict(result.warm.machine),
        "samples_s": list(result.warm.samples),
    }
