"""The tables of ``docs/results/lu2024.md`` and ``li2023.md`` that are numbers: written from the committed databases.

    python benchmarks/results_pages.py            # write them anew, after the databases or the report's rules changed
    python benchmarks/results_pages.py --check    # say whether they are what the databases say

A block begins with ``<!-- results: NAME -->`` and ends with ``<!-- end -->``; what stands between is replaced.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean, median
from typing import Any

from policypress.engine.store.reader import STORE_NAME, StoreReader
from policypress_li2023.results import read_results
from policypress_lu2024.cells.assembling import read_study_report
from policypress_lu2024.cells.runs import read_groups

ROOT = Path(__file__).resolve().parents[1]
RUNTIME = "onnxruntime"
SHIFT = ("ptsq", "ptsq(calibrate=own)", "ptsq(calibrate=evaluation)", "equalize > ptsq")
COSTS = {"latency": "inference time", "energy_per_action": "energy of an action (modelled)", "peak_rss": "peak memory"}
METHODS = ("ptdq", "ptsq", "l1", "l2")
Json = dict[str, Any]


def blocks_of_lu(folder: Path) -> dict[str, str]:
    """Name → text of each block that the study of Lu et al. in ``folder`` says."""
    with StoreReader(folder / STORE_NAME) as store:
        report = read_study_report(store, "lu2024-small.yml").to_json()
        trained = {
            (group.algorithm, group.environment): {
                kind: {seed: fmean(run.returns) for seed, run in runs.items() if run.returns}
                for kind, runs in group.own_baselines.items()
            }
            for group in read_groups(store)
            if group.runtime == RUNTIME
        }
    own = [row for row in report["combinations"] if row["runtime"] == RUNTIME]
    return {
        "returns": _returns(own, report),
        "statements": _statements(report["findings"]),
        "qat": _qat(own, trained),
        "shift": _shift(own),
        "costs": _costs(report),
    }


def blocks_of_li(folder: Path) -> dict[str, str]:
    """Likewise of the study of Li."""
    with StoreReader(folder / STORE_NAME) as store:
        report = read_results(store).to_json()
    return {"statements": _statements(report["findings"])}


def written(page: str, blocks: Mapping[str, str]) -> str:
    """The page with its blocks replaced.

    Raises:
        ValueError: a block has no place in the page, or a place no block.
    """
    names = re.findall(r"<!-- results: ([a-z]+) -->\n", page)
    if sorted(names) != sorted(blocks):
        raise ValueError(f"the page has places for {sorted(names)}, and there are {sorted(blocks)}")
    for name, text in blocks.items():
        start = f"<!-- results: {name} -->\n"
        page = re.sub(f"{start}.*?<!-- end -->", lambda _, s=start, t=text: f"{s}{t}\n<!-- end -->", page, flags=re.S)
    return page


def _table(heading: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _statements(findings: list[Json]) -> str:
    rows = []
    for finding in findings:
        ours = [evidence for evidence in finding["study"] if evidence["verdict"] != "no data"] or finding["study"][:1]
        for evidence in ours:
            under = f" ({evidence['runtime']})" if len(ours) > 1 else ""
            verdict = f"**{evidence['verdict']}**" if "hold" in evidence["verdict"] else evidence["verdict"]
            rows.append(
                (f"{finding['statement']}{under}", finding["paper"]["verdict"], f"{verdict}. {evidence['text']}")
            )
    return _table(("the paper's statement", "its own tables", "here"), rows)


def _returns(own: list[Json], report: Json) -> str:
    table3 = {row["combination"]: row for row in report["table3"]}
    table2 = {row["combination"]: row for row in report["table2"]}
    rows = []
    for row in own:
        variants = {variant["recipe"]: variant for variant in row["variants"]}
        best, ratios = table3[row["name"]], table2[row["name"]]["ratios"].values()
        unbroken = max((pruned["unbroken"] or 0.0 for pruned in ratios), default=0.0)
        rows.append(
            (
                _name(row),
                _interval(row["baseline"]),
                *(_interval(variants[method]["returns"]) for method in ("ptdq", "ptsq")),
                _pruning(best["norm"], best["ratio"]),
                "–" if best["norm"] is None else f"{100 * unbroken:.0f} %" if unbroken else "none",
                _pruning(best["published_norm"], best["published_ratio"]),
                f"{row['published_baseline']:,.0f}".replace(",", " "),
                "" if row["learned"]["verdict"] == "learned" else row["learned"]["verdict"],
            )
        )
    heading = ("ONNX Runtime", "baseline", "PTDQ", "PTSQ", "most that can go", "with all smaller ratios")
    return _table((*heading, "the paper's", "the paper's baseline", ""), rows)


def _qat(own: list[Json], trained: Mapping[tuple[str, str], Mapping[str, Mapping[int, float]]]) -> str:
    rows = []
    for row in own:
        for variant in row["variants"]:
            if variant["recipe"] != "qat" or not variant["returns_by_seed"]:
                continue
            fp32 = trained[row["algorithm"], row["environment"]].get(variant["method"], {})
            rows.append(
                (
                    f"{_name(row)}, {variant['method'].upper()}",
                    str(len(variant["returns_by_seed"])),
                    _interval(row["baseline"]),
                    _number(fmean(fp32.values())) if fp32 else "–",
                    _interval(variant["returns"]),
                    variant["other_training"] or "as its baseline",
                )
            )
    return _table(("ONNX Runtime", "seeds", "baseline, fp32", "QAT's agent, fp32", "the same, int8", "trained"), rows)


def _shift(own: list[Json]) -> str:
    rows = []
    for row in own:
        kept = {v["recipe"]: v["ratio_to_baseline"] for v in row["variants"] if v["recipe"] in SHIFT}
        known = len(kept) == len(SHIFT) and all("value" in share for share in kept.values())
        if known and row["learned"]["verdict"] == "learned" and kept["ptsq"]["value"] < 0.95:
            loss = "" if kept["ptsq"]["upper"] < 1 else " (may be chance)"
            rows.append((f"{_name(row)}{loss}", *(f"{100 * kept[recipe]['value']:.0f} %" for recipe in SHIFT)))
    heading = ("PTSQ", "calibrated on its own states", "on states of the evaluation", "`equalize > ptsq`")
    return _table(("", *heading), rows)


def _costs(report: Json) -> str:
    keeping = {
        (row["algorithm"], row["environment"], variant["recipe"])
        for row in report["combinations"]
        for variant in row["variants"]
        if variant["keeps_90_percent"]
    }
    rows = []
    for runtime in report["runtimes"]:
        for quantity, name in COSTS.items():
            shares: dict[str, list[float]] = {method: [] for method in METHODS}
            for row in report["combinations"]:
                for variant in row["variants"] if row["runtime"] == runtime else ():
                    relative = variant["costs"][quantity]["relative"]
                    kept = (row["algorithm"], row["environment"], variant["recipe"]) in keeping
                    if variant["method"] in METHODS and kept and "value" in relative:
                        shares[variant["method"]].append(relative["value"])
            every = [share for found in shares.values() for share in found]
            lower = f"{sum(share < 0.95 for share in every)} of {len(every)}"
            rows.append((runtime, name, *(_median(found) for found in shares.values()), lower))
    heading = ("runtime", "", "PTDQ", "PTSQ", "L1", "L2", "lower by over 5 %")
    return _table(heading, rows)


def _median(shares: list[float]) -> str:
    return f"{median(shares):.2f} ({len(shares)})" if shares else "–"


def _name(row: Json) -> str:
    return f"{row['algorithm'].upper()} {row['environment']}"


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ")


def _interval(known: Json) -> str:
    if "value" not in known:
        return "–"
    if known["lower"] is None:
        return _number(known["value"])
    return f"{_number(known['value'])} ({_number(known['lower'])} … {_number(known['upper'])})"


def _pruning(norm: str | None, ratio: float | None) -> str:
    if norm is None:
        return "–"
    told = "L1 = L2" if norm == "both" else norm.upper()
    return "none" if ratio is None else f"{100 * ratio:.0f} % ({told})"


PAGES: dict[str, tuple[str, Callable[[Path], dict[str, str]]]] = {
    "lu2024.md": ("lu2024-small", blocks_of_lu),
    "li2023.md": ("li2023", blocks_of_li),
}


def studies(page: str) -> Path:
    """The folder of the study that a page (``lu2024.md``) is about."""
    return ROOT / "papers" / page.removesuffix(".md") / "studies"


def main() -> int:
    """Write the pages, or check them; 1 where one is not what its database says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    stale = []
    for name, (study, blocks) in PAGES.items():
        path = ROOT / "docs" / "results" / name
        page = path.read_text(encoding="utf-8")
        new = written(page, blocks(studies(name) / study))
        if new != page:
            stale.append(name)
            if not arguments.check:
                path.write_text(new, encoding="utf-8")
    told = "not what the databases say" if arguments.check else "written"
    print(f"{told}: {', '.join(stale)}" if stale else "as the databases say")
    return int(arguments.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
