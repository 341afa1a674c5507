"""The largest share of the return that named recipes surely keep: each one's certified lower bound.

Reads ``results.json`` of a ``compress`` with ``--recipe``. Its episodes chose nothing, so they may certify: every
policy has played the same seeds, and candidate and baseline are compared in pairs. Limits are taken from the first
tenth of the episodes, which certify nothing; random actions have the tenth of the seeds that follows, the pairs the
rest. The error is divided among the recipes.

    policypress compress AGENT --recipe "equalize > int8" --episodes 1400 --no-costs -o out
    python benchmarks/certified_keep.py out/results.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from policypress.measurement.certificate.certifying import Certificate, certify_returns
from policypress.measurement.certificate.limits import declared

Json = dict[str, Any]
KEEP = 0.95
"""What a verdict is about; the lower bound does not depend on it."""


def certificates(results: Json, confidence: float) -> dict[str, Certificate]:
    """Certificate of each recipe that was played, by its text."""
    base, random = results["baseline"]["returns"], results["random"]["returns"]
    part = len(base) // 10
    candidates = {row["recipe"]: row["returns"] for row in results["variants"] if row["returns"]}
    candidates.pop(results["baseline"]["recipe"], None)
    return {
        recipe: certify_returns(
            base[2 * part :],
            returns[2 * part :],
            random[part : 2 * part],
            keep=KEEP,
            alpha=(1 - confidence) / len(candidates),
            limits=declared([*base[:part], *returns[:part], *random[:part]]),
        )
        for recipe, returns in candidates.items()
    }


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="results.json")
    parser.add_argument("--confidence", type=float, default=0.95)
    arguments = parser.parse_args()
    print("| recipe | kept | surely kept | episodes | crashes |\n|---|---|---|---|---|")
    for recipe, found in certificates(json.loads(arguments.results.read_text()), arguments.confidence).items():
        if found.retention is None or found.lower is None:
            print(f"| `{recipe}` | {found.reason} | | | |")
            continue
        kept, lower = 100 * found.retention, 100 * max(found.lower, 0.0)
        print(f"| `{recipe}` | {kept:.1f} % | {lower:.1f} % | {found.episodes} | {found.crashes} |")


if __name__ == "__main__":
    main()
