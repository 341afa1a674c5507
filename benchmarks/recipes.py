"""What each recipe keeps, on each agent: a Markdown table with intervals.

Every agent is a study in its own folder under OUTPUT, so that an interrupted run continues where it was, a longer
list of recipes or more episodes adds what is missing, and the table of a finished run takes seconds.

    python benchmarks/recipes.py AGENT... --output out --episodes 30
    python benchmarks/recipes.py AGENT... --output out --form matrix --recipe "equalize > gptq(4)"

``--form rows`` (default) has a row for each agent and recipe, ``--form matrix`` a row for each recipe and a column for
each agent: the retention with its 95 % interval, and how many times smaller the packed policy is than the fp32
parameters. Retention is (R − R_random) / (R_fp32 − R_random), all on the same seeds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from policypress.compression.recipe import NONE, Recipe
from policypress.engine.store.reader import StoreReader
from policypress.measurement.statistics import Interval, Missing, mean_return, retention, return_ratio
from policypress.records import ArtifactRecord
from policypress.search.compress import compress
from policypress_runtime.contract import Quantity

RECIPES = (
    "none",
    "ptdq",
    "ptsq",
    "int8",
    "equalize > int8",
    "equalize > gptq(8)",
    "equalize > gptq(6)",
    "equalize > gptq(4)",
    "equalize > gptq(3)",
    "equalize > rtn(4)",
    "prune(l1, 0.3)",
    "prune(l2, 0.3)",
    "prune(l2, 0.5)",
    "prune(l2, 0.5) > refit",
    "prune(activation, 0.3)",
    "prune(activation, 0.5)",
    "prune(activation, 0.5) > refit",
    "prune(activation, 0.6) > refit",
    "prune(obs, 0.5)",
    "prune(obs, 0.6)",
    "prune(obs, 0.7)",
    "prune(obs, 0.6, scope=global)",
    "prune(obs, 0.5) > refit > equalize > int8",
    "prune(obs, 0.6) > refit > equalize > gptq(8)",
    "prune(obs, 0.5) > refit > equalize > gptq(4)",
    "prune(obs, 0.5, scope=global) > refit > equalize > gptq(4)",
    "prune(obs, 0.6) > refit > equalize > gptq(4)",
)
CONFIDENCE = 0.95
NOT_PLAYED = Missing("no episodes")


@dataclass(frozen=True)
class Row:
    """One recipe on one agent; ``failure`` says why there is nothing else.

    ``smaller`` is the fp32 parameters' bytes over the packed bytes.
    """

    agent: str
    recipe: str
    failure: str | None = None
    record: ArtifactRecord | None = None
    smaller: float = 0.0
    mean: Quantity | Missing = NOT_PLAYED
    ratio: Interval | Missing = NOT_PLAYED
    kept: Interval | Missing = NOT_PLAYED


def rows_of(agent: str, recipes: Sequence[str], output: Path, episodes: int, seed: int, jobs: int | None) -> list[Row]:
    """Press and play what the agent's store lacks, and read the rows."""
    name = Path(agent).stem if agent.endswith((".zip", ".onnx")) else Path(agent).name
    done = compress(
        agent,
        recipes,
        output=output / name,
        episodes=episodes,
        seed=seed,
        jobs=jobs,
        costs=False,
        executor="debug" if jobs == 1 else "local",
    )
    if done.outcome.interrupted:
        sys.exit("Interrupted; run the same command to continue.")
    with StoreReader(done.store) as store:
        return [_row(store, name, Recipe.parse(recipe).text, done.cells, seed) for recipe in recipes]


def _row(store: StoreReader, agent: str, recipe: str, cells: dict[str, str], seed: int) -> Row:
    cell, record, whole = store.cell(cells[recipe]), store.artifact(cells[recipe]), store.artifact(cells[NONE])
    if cell is None or record is None or whole is None or cell.failure is not None:
        failure = None if cell is None else cell.failure
        return Row(agent, recipe, failure="not built" if failure is None else failure.kind)
    played = {key: [row.episode_return for row in store.episodes(cells[key])] for key in (NONE, recipe, "random")}
    return Row(
        agent,
        recipe,
        record=record,
        smaller=4 * whole.parameters / record.packed_bytes,
        mean=mean_return(played[recipe], CONFIDENCE),
        ratio=return_ratio(played[NONE], played[recipe], CONFIDENCE, seed),
        kept=retention(played[NONE], played[recipe], played["random"], CONFIDENCE, seed),
    )


def as_rows(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each agent and recipe."""
    yield "| agent | recipe | packed kB | smaller by | action error | return | raw return ratio | retention |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in rows:
        if row.record is None:
            yield f"| {row.agent} | `{row.recipe}` | {row.failure} | | | | | |"
            continue
        error = row.record.action_error
        mean = row.mean.reason if isinstance(row.mean, Missing) else _spread(row.mean)
        yield (
            f"| {row.agent} | `{row.recipe}` | {row.record.packed_bytes / 1000:.1f} | {row.smaller:.1f} × | "
            f"{'' if error is None else f'{100 * error:.2f} %'} | {mean} | {_share(row.ratio)} | {_share(row.kept)} |"
        )


def as_matrix(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each recipe, a column for each agent."""
    agents = list(dict.fromkeys(row.agent for row in rows))
    cells = {(row.agent, row.recipe): row for row in rows}
    yield f"| recipe | {' | '.join(agents)} |"
    yield f"|---|{'---|' * len(agents)}"
    for recipe in dict.fromkeys(row.recipe for row in rows):
        listed = [cells[agent, recipe] for agent in agents]
        texts = [row.failure or f"{_share(row.kept)} · {row.smaller:.1f} ×" for row in listed]
        yield f"| `{recipe}` | {' | '.join(texts)} |"


def _spread(mean: Quantity) -> str:
    return f"{mean.mean:.1f} [{mean.lower:.1f}, {mean.upper:.1f}]"


def _share(value: Interval | Missing) -> str:
    if isinstance(value, Missing):
        return value.reason
    return f"{100 * value.estimate:.1f} % [{100 * value.lower:.1f}, {100 * value.upper:.1f}]"


FORMS = {"rows": as_rows, "matrix": as_matrix}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agents", metavar="AGENT", nargs="+", help="zip, RL Zoo folder or ONNX file")
    parser.add_argument("--output", type=Path, required=True, help="folder of the stores, one per agent")
    parser.add_argument("--recipe", action="append", help="instead of the list; may be given several times")
    parser.add_argument("--episodes", type=int, default=30, help="of every policy, on the same seeds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, help="processes; all cores by default")
    parser.add_argument("--form", choices=FORMS, default="rows")
    chosen = parser.parse_args(arguments)
    recipes = list(dict.fromkeys([NONE, *(chosen.recipe or RECIPES)]))
    rows: list[Row] = []
    for agent in chosen.agents:
        rows += rows_of(agent, recipes, chosen.output, chosen.episodes, chosen.seed, chosen.jobs)
        print(f"{agent}: done", file=sys.stderr, flush=True)
    print("\n".join(FORMS[chosen.form](rows)))


if __name__ == "__main__":
    main()
