"""Cold start and memory: a fresh process imports what it needs, loads, acts once and says how it was."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_END = """
import re
with open("/proc/self/status") as status:
    print(int(re.search(r"VmHWM:\\s+(\\d+)", status.read())[1]) * 1024)
"""
_ARRAY = "import numpy as np\nx = np.zeros({shape}, np.{dtype})\n"
_PROGRAMS = {
    "bare Python": "",
    "SB3 predict": _ARRAY
    + """
import gymnasium
from stable_baselines3.{module} import {policy}
space = gymnasium.spaces.Box({low}, {high}, {shape}, np.{dtype})
acts = gymnasium.spaces.{acts}
{policy}(space, acts, lambda _: 0.0).predict(x, deterministic=True)
""",
    "torch": _ARRAY + "import torch\nwith torch.no_grad():\n    torch.nn.Linear(8, 8)(torch.zeros(1, 8)).numpy()\n",
    "onnxruntime": _ARRAY
    + """
import onnxruntime as ort
session = ort.InferenceSession({path!r}, providers=["CPUExecutionProvider"])
session.run(None, {{session.get_inputs()[0].name: x[None]}})
""",
    "native": _ARRAY
    + """
from policypress_runtime.runtimes.loading import load_artifact
load_artifact({path!r}, "native").act(x)
""",
    "module without numpy": """
import sys
sys.path.insert(0, {folder!r})
import policy
policy.act(memoryview(bytes({size_bytes})).cast({code!r}, {shape}))
""",
}
NAMES = tuple(_PROGRAMS)


@dataclass(frozen=True)
class Started:
    """Peak resident set of a process, and the time from its start to its end; the least of several."""

    peak_rss_bytes: int
    run_s: float


def started(name: str, values: dict[str, object], processes: int) -> Started:
    """Run the program ``name`` with ``values`` (shape, dtype, path ...) in fresh processes."""
    code = _PROGRAMS[name].format(**values) + _END
    isolated = ["-I", "-S"] if name == "module without numpy" else ["-P"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    peaks, elapsed = [], []
    for _ in range(processes):
        start = time.perf_counter()
        command = [sys.executable, *isolated, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        elapsed.append(time.perf_counter() - start)
        if done.returncode != 0:
            raise SystemExit(f"{name}: {done.stderr.strip().splitlines()[-1]}")
        peaks.append(int(done.stdout.split()[-1]))
    return Started(sorted(peaks)[len(peaks) // 2], min(elapsed))


def values_for(path: Path, folder: Path, shape: tuple[int, ...], dtype: str) -> dict[str, object]:
    """What the programs are told of a network."""
    image = dtype == "uint8"
    count = 1
    for length in shape:
        count *= length
    return {
        "path": str(path),
        "folder": str(folder),
        "shape": shape,
        "dtype": dtype,
        "code": "B" if image else "f",
        "size_bytes": count * (1 if image else 4),
        "low": 0 if image else "-np.inf",
        "high": 255 if image else "np.inf",
        "module": "dqn" if image else "sac.policies",
        "policy": "CnnPolicy" if image else "SACPolicy",
        "acts": "Discrete(6)" if image else "Box(-1, 1, (6,), np.float32)",
    }
