"""What machine and what software a measurement was made on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

_CPUINFO = Path("/proc/cpuinfo")
# Instruction sets that decide how fast small networks run; names as Linux writes them.
_FLAGS = ("avx", "avx2", "fma", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_int8", "asimd")
_FLAGS_ARM = ("asimddp", "i8mm", "sve", "bf16")
_PACKAGES = ("policypress", "numpy", "torch", "onnx", "onnxruntime", "gymnasium", "mujoco", "ale-py")


def fingerprint() -> dict[str, Any]:
    """Processor, memory, system and versions, as JSON. Nothing is imported to learn its version.

    ``cores_physical`` and ``affinity`` are None where the system does not tell; ``packages`` leaves out what is not
    installed; ``threads`` are the environment variables that limit threads.
    """
    info = _cpuinfo()
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {
        "cpu": _cpu_model(info),
        "architecture": platform.machine(),
        "cpu_flags": [flag for flag in (*_FLAGS, *_FLAGS_ARM) if flag in _flags(info)],
        "cores_logical": os.cpu_count(),
        "cores_physical": psutil.cpu_count(logical=False),
        "affinity": affinity,
        "memory_bytes": int(psutil.virtual_memory().total),
        "virtual_machine": "hypervisor" in _flags(info),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": _versions(),
        "threads": {key: os.environ[key] for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if key in os.environ},
    }


def _cpuinfo() -> dict[str, str]:
    """The first processor's block of /proc/cpuinfo; empty on other systems."""
    if not _CPUINFO.is_file():
        return {}
    first = _CPUINFO.read_text(errors="replace").strip().split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def _flags(info: dict[str, str]) -> frozenset[str]:
    return frozenset(info.get("flags", info.get("Features", "")).split())


def _cpu_model(info: dict[str, str]) -> str:
    if platform.system() == "Darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return platform.processor()
    named = info.get("model name") or info.get("Hardware") or platform.processor()
    if named:
        return named
    return f"implementer {info.get('CPU implementer', '?')} part {info.get('CPU part', '?')}" if info else "unknown"


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
