"""What ``policypress compress AGENT`` certifies, for many agents: a Markdown table.

Runs the command with nothing but the agent and the output, one agent after the other; a search that was interrupted
continues, one that is complete is only read. With ``--read`` nothing is run.

    python benchmarks/searches.py AGENT... --output out
    python benchmarks/searches.py AGENT... --output out --keep 0.9 --minimize latency
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

Json = dict[str, Any]
HEADER = (
    "| agent | fp32 packed | smallest certified | packed | smaller | kept, lower bound | held-out episodes | crashes "
    "| searched |",
    "|---|---|---|---|---|---|---|---|---|",
)


def name_of(agent: str) -> str:
    """A folder's name, or a file's without its ending."""
    return Path(agent).stem if agent.endswith((".zip", ".onnx")) else Path(agent).name


def finished(folder: Path) -> Json | None:
    """The results of a search that has ended, if there are any."""
    path = folder / "results.json"
    if not path.exists():
        return None
    results: Json = json.loads(path.read_text())
    return results if results.get("complete") and results.get("search") else None


def search(agent: str, folder: Path, options: list[str]) -> Json | None:
    """Run or continue the search of ``agent``; None where the command failed, which it has explained."""
    known = finished(folder)
    if known is not None:
        return known
    command = [sys.executable, "-P", "-m", "policypress", "compress", agent, "-o", str(folder), *options]
    print(" ".join(command[3:]), file=sys.stderr)
    subprocess.run(command, check=False, stdout=sys.stderr)
    return finished(folder)


def line(agent: str, results: Json) -> str:
    """The table's line of one search."""
    found, base = results["search"], results["baseline"]
    before, elapsed = f"{base['packed_bytes'] / 1000:.1f} kB", f"{found['elapsed_s'] / 60:.1f} min"
    variants = {variant["recipe"]: variant for variant in results["variants"]}
    attempt = next((row for row in found["attempts"] if row["recipe"] == found["winner"]), None)
    if attempt is None or attempt["certificate"]["verdict"] != "certified":
        return f"| {agent} | {before} | none: {found['summary']} | | | | | | {elapsed} |"
    proof, winner = attempt["certificate"], variants[found["winner"]]
    return (
        f"| {agent} | {before} | `{winner['recipe']}` | {winner['packed_bytes'] / 1000:.2f} kB | "
        f"{base['packed_bytes'] / winner['packed_bytes']:.0f} × | "
        f"{100 * proof['retention']:.1f} %, {100 * proof['lower']:.1f} % | {proof['episodes']} | {proof['crashes']} | "
        f"{elapsed} |"
    )


def main() -> None:
    """Search where needed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agents", nargs="+", metavar="AGENT")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="a folder of results for each agent")
    parser.add_argument("--read", action="store_true", help="run nothing")
    arguments, options = parser.parse_known_args()
    print("\n".join(HEADER))
    for agent in arguments.agents:
        folder = arguments.output / name_of(agent)
        results = finished(folder) if arguments.read else search(agent, folder, options)
        print(
            f"| {name_of(agent)} | not searched | | | | | | | |" if results is None else line(name_of(agent), results)
        )


if __name__ == "__main__":
    main()
