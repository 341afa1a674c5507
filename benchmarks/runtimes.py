"""Runtimes side by side: how long one action takes, what it costs, and how near the machine's limit that is.

Three networks (a trained HalfCheetah actor; one of Humanoid's sizes and the Nature CNN, both with random weights, on
which speed does not depend), batches of 1 and 64, warm and cold caches, called from Python and from C, on one thread.
The contenders take turns in a new order each round; ratios are medians over the rounds. The limit is the larger of
packed bytes ÷ measured bandwidth and multiply-accumulates ÷ measured peak (``machine_limit/``), taken in the same run;
the peak is that of the unit that does them: AMX, where there is one, for batches and convolutions of 8-bit integers.
Runtimes that are not installed are left out and named (``pip install 'policypress[litert,openvino]'``).

    OMP_NUM_THREADS=1 python benchmarks/runtimes.py --json runtimes.json
    OMP_NUM_THREADS=1 python benchmarks/runtimes.py --quick
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from machine_limit.machine_limit import Meter
from rich.console import Console
from rich.table import Table
from runtime_comparison import contenders as c
from runtime_comparison import fresh_process, networks, timing
from runtime_comparison.c_level import CPolicy

from policypress.measurement.machine import fingerprint
from policypress_runtime.codegen.program import Dense
from policypress_runtime.codegen.reader import read_program
from policypress_runtime.runtimes.native.build import build_module, contract_of
from policypress_runtime.toolchain.compiler import find_compiler

AGENT = Path(__file__).resolve().parents[1] / "examples" / "agents" / "sac-HalfCheetah-v4.zip"
BATCHES = (1, 64)
C_VARIANTS = {c.C_FP32: networks.FP32, c.C_INT8: networks.INT8, c.C_PRUNED: networks.PRUNED}
Json = dict[str, Any]


def from_python(network: networks.Network, batch: int, effort: timing.Effort) -> Json:
    """Latency, CPU time and ratios of every contender."""
    acts, absent = c.contenders(network, batch)
    found = timing.measured(acts, network.observations, batch, effort)
    best_int8, reference = found[c.C_INT8], found[c.ORT_RUN]
    rows = {
        name: {
            "samples": len(result.warm_s),
            "warm_s": timing.percentiles(result.warm_s),
            "cold_s": timing.percentiles(result.cold_s),
            "call_s": float(np.median(result.block_s)),
            "cpu_s_per_action": float(np.median(result.cpu_s)),
            "times_c_int8": timing.ratio(result, best_int8),
            "faster_than_ort_run": timing.ratio(reference, result),
            "cpu_less_than_ort_run": timing.cpu_ratio(reference, result),
        }
        for name, result in found.items()
    }
    return {"batch": batch, "contenders": rows, "absent": absent}


def image_macs(model: bytes) -> int:
    """Multiply-accumulates of an artifact's convolutions, for one observation."""
    layers = [step for step in read_program(model).steps if isinstance(step, Dense)]
    return sum(x.weight.size * x.geometry.rows * x.geometry.lines for x in layers if x.geometry.rows > 1)


def from_c(network: networks.Network, meter: Meter, effort: timing.Effort) -> Json:
    """Time of the generated C without Python, against the machine's limit, and static programs."""
    paths = networks.files_of(network)
    built = {name: CPolicy(paths[variant]) for name, variant in C_VARIANTS.items()}
    rows: Json = {}
    samples: dict[tuple[str, int], list[float]] = {(name, batch): [] for name in built for batch in BATCHES}
    limits: dict[tuple[str, int], list[float]] = {key: [] for key in samples}
    calls = max(effort.calls // 10, 5)
    for _ in range(effort.rounds):
        for name, policy in built.items():
            record = network.artifacts[C_VARIANTS[name]].record
            kind = "fp32" if name == c.C_FP32 else "int8"
            images = image_macs(network.artifacts[C_VARIANTS[name]].model)
            bounds = meter.measure(record.packed_bytes, seconds=min(effort.window_s, 0.02))
            for batch in BATCHES:
                one_s = samples[name, 1][0] if samples[name, 1] else effort.turn_s / 100
                fitting = max(2, min(calls, int(effort.turn_s / 5 / (one_s * batch))))
                samples[name, batch].append(policy.seconds(network.observations, batch, fitting))
                many = record.macs * batch if batch > 1 else images
                limits[name, batch].append(bounds.limit_s(record.macs * batch, kind, of_many_rows=many))
    for name, policy in built.items():
        program = policy.static_program()
        rows[name] = {
            "packed_bytes": network.artifacts[C_VARIANTS[name]].record.packed_bytes,
            "file_bytes": network.artifacts[C_VARIANTS[name]].record.file_bytes,
            "macs": network.artifacts[C_VARIANTS[name]].record.macs,
            "static_program": asdict(program),
            "batches": {
                str(batch): {
                    "call_s": float(np.median(samples[name, batch])),
                    "limit_s": float(np.median(limits[name, batch])),
                    "share_of_limit": float(np.median(np.array(limits[name, batch]) / np.array(samples[name, batch]))),
                    "faster_than_c_fp32": float(
                        np.median(np.array(samples[c.C_FP32, batch]) / np.array(samples[name, batch]))
                    ),
                }
                for batch in BATCHES
            },
        }
    return rows


def fresh(network: networks.Network, processes: int) -> Json:
    """Cold start and peak memory of fresh processes, with the int8 artifact where the runtime takes one."""
    model = network.artifacts[networks.INT8].model
    contract = contract_of(model, network.name)
    spec = contract.inputs[0]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as building:
        built = build_module(model, contract, "policy", Path(building), find_compiler())
        (Path(folder) / "policy.so").write_bytes(built.read_bytes())
        artifact = Path(folder) / "policy.onnx"
        artifact.write_bytes(model)
        values = fresh_process.values_for(artifact, Path(folder), spec.shape, spec.dtype)
        # Once before, so that the native module is in the cache and files are in memory.
        for name in fresh_process.NAMES:
            fresh_process.started(name, values, 1)
        return {name: asdict(fresh_process.started(name, values, processes)) for name in fresh_process.NAMES}


def show(network: str, result: Json, out: Console) -> None:
    """The tables of one network."""
    for part in result["python"]:
        table = Table(
            "runtime", title=f"{network}, batch {part['batch']}, from Python, µs a call", title_justify="left"
        )
        for heading in ("call", "p50", "p99", "p99.9", "max", "cold p50", "CPU/action", "× ORT run()", "CPU ÷"):
            table.add_column(heading, justify="right")
        for name, row in part["contenders"].items():
            warm = row["warm_s"]
            micro = [row["call_s"], *warm.values(), row["cold_s"]["p50"], row["cpu_s_per_action"]]
            ratios = [row["faster_than_ort_run"], row["cpu_less_than_ort_run"]]
            table.add_row(name, *(f"{1e6 * value:.2f}" for value in micro), *(f"{value:.2f}" for value in ratios))
        out.print(table)
        for name, reason in part["absent"].items():
            out.print(f"{name}: {reason}", markup=False)
    table = Table("from C", title=f"{network}, C against the machine's limit", title_justify="left")
    headings = ("packed", "µs", "limit", "of limit", "× fp32", "µs, 64", "of limit", "static RSS", "static run")
    for heading in headings:
        table.add_column(heading, justify="right")
    for name, row in result["c"].items():
        one, many, program = row["batches"]["1"], row["batches"]["64"], row["static_program"]
        cells = [
            f"{row['packed_bytes'] / 1e3:.1f} kB",
            *(f"{1e6 * one[key]:.3f}" for key in ("call_s", "limit_s")),
            f"{100 * one['share_of_limit']:.0f} %",
            f"{one['faster_than_c_fp32']:.2f}",
            f"{1e6 * many['call_s']:.2f}",
            f"{100 * many['share_of_limit']:.0f} %",
            f"{program['peak_rss_bytes'] / 2**20:.2f} MiB",
            f"{1e3 * program['run_s']:.2f} ms",
        ]
        table.add_row(name, *cells)
    out.print(table)
    table = Table("fresh process", "peak RSS, MiB", "start to end, ms", title=f"{network}, int8", title_justify="left")
    for name, row in result["fresh"].items():
        table.add_row(name, f"{row['peak_rss_bytes'] / 2**20:.1f}", f"{1e3 * row['run_s']:.1f}")
    out.print(table)


def main() -> None:
    """Measure, show, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few calls of everything, to see that it runs")
    parser.add_argument("--rounds", type=int, default=timing.FULL.rounds, help="turns of each contender")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--networks", nargs="+", choices=["cheetah", "humanoid", "nature"], default=None)
    given = parser.parse_args()
    torch.set_num_threads(1)
    effort = timing.QUICK if given.quick else replace(timing.FULL, rounds=given.rounds)
    makers = {"cheetah": lambda: networks.cheetah(str(AGENT)), "humanoid": networks.humanoid, "nature": networks.nature}
    meter, out, results = Meter(), Console(width=None if sys.stdout.isatty() else 160), {}
    for key in given.networks or makers:
        network = makers[key]()
        results[network.name] = {
            "python": [from_python(network, batch, effort) for batch in BATCHES],
            "c": from_c(network, meter, effort),
            "fresh": fresh(network, 1 if given.quick else 5),
        }
        show(network.name, results[network.name], out)
    if given.json is not None:
        whole = {"schema": 1, "quick": given.quick, "machine": fingerprint(), "unit": meter.unit, "networks": results}
        given.json.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
