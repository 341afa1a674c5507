"""Whether two versions of policypress give the same results, to the bit: a small study and a search.

Run it once with each version, then compare. A study of two shipped agents and three recipes and a training-free search
are done from nothing, by the command line; what is kept of each cell is its key, its status, the hash of its artifact
and the return of every episode. Time decides nothing in either, so equal versions give equal files on any machine with
the same processor.

    python benchmarks/same_results.py write before.json     # in one checkout
    python benchmarks/same_results.py write after.json      # in another
    python benchmarks/same_results.py compare before.json after.json
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

AGENTS = Path(__file__).resolve().parents[1] / "examples" / "agents"
CARTPOLE, CHEETAH = AGENTS / "dqn-CartPole-v1.zip", AGENTS / "sac-HalfCheetah-v4.zip"
STUDY = f"""\
policypress-study: 1
name: same
agents: [{{files: ["{CARTPOLE}", "{CHEETAH}"]}}]
recipes: ["equalize > int8", ptdq, "prune(l2, 0.3)"]
evaluation: {{episodes: 5, runtimes: [onnxruntime, native], max_steps: 200}}
"""
SEARCH = ["--training-free", "--max-episodes", "2000", "--budget-minutes", "600", "--no-costs", "--jobs", "2"]


def run(*arguments: str) -> None:
    """The command line of this checkout's version."""
    subprocess.run([sys.executable, "-m", "policypress", *arguments], check=True, stdout=subprocess.DEVNULL)


def rows(store: Path) -> dict[str, Any]:
    """Key of each cell that made or played something → what it came to."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        artifacts = dict(connection.execute("SELECT cell_key, sha256 FROM artifacts"))
        returns: dict[str, list[tuple[int, float, int]]] = {}
        for key, *episode in connection.execute(
            "SELECT cell_key, seed, episode_return, length FROM episodes ORDER BY cell_key, seed"
        ):
            returns.setdefault(key, []).append(tuple(episode))
        return {
            key: {
                "kind": kind,
                "recipe": recipe,
                "status": status,
                "artifact": artifacts.get(key),
                "episodes": returns.get(key, []),
            }
            for key, kind, recipe, status in connection.execute("SELECT key, kind, recipe, status FROM cells")
        }


def measured() -> dict[str, dict[str, Any]]:
    """The study's cells and the search's."""
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "same.yml"
        spec.write_text(STUDY)
        run("study", "run", str(spec), "-o", f"{folder}/study", "--no-costs")
        run("compress", str(CARTPOLE), *SEARCH, "-o", f"{folder}/search")
        return {name: rows(Path(folder) / name / "study.db") for name in ("study", "search")}


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """One line for each cell that is not the same."""
    found = []
    for part in ("study", "search"):
        for key in sorted({*before[part], *after[part]}):
            one, two = before[part].get(key), after[part].get(key)
            if one != two:
                known = one or two
                what = "missing" if None in (one, two) else ", ".join(name for name in one if one[name] != two[name])
                found.append(f"{part}: {known['kind']} {known['recipe']} {key[:12]}: {what}")
    return found


def main() -> None:
    """Write one version's results, or compare two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["write", "compare"])
    parser.add_argument("files", nargs="+", type=Path)
    arguments = parser.parse_args()
    if arguments.task == "write":
        text = json.dumps(measured(), indent=1, sort_keys=True)
        arguments.files[0].write_text(text)
        return
    # Through JSON, both have lists where there were tuples.
    before, after = (json.loads(path.read_text()) for path in arguments.files)
    found = differences(before, after)
    cells = {part: len(after[part]) for part in ("study", "search")}
    print(
        "\n".join(found) or f"The same, to the bit: {cells['study']} cells of a study, {cells['search']} of a search."
    )
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
