"""What this machine can measure and run, and what to install for more. Nothing heavy is imported to find out."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from policypress.measurement.costs.energy import WATTS_PER_CORE
from policypress.measurement.costs.energy_meters import ALL_METERS, Meter, Opener, reason_of
from policypress.measurement.machine import fingerprint
from policypress_runtime.errors import MeterError, NativeBuildError
from policypress_runtime.runtimes.native.probe import kernels_here
from policypress_runtime.toolchain.cache import Cache
from policypress_runtime.toolchain.compiler import check_compiler, find_compiler

_NVIDIA = Path("/proc/driver/nvidia/gpus")
_TOOL_LIMIT_S = 5.0
# More than this much other work per core disturbs latencies.
_BUSY_LOAD = 0.3

COMPILERS = {
    "cc": "C for this machine",
    "gcc": "C for this machine",
    "clang": "C for this machine",
    "arm-none-eabi-gcc": "C for Cortex-M",
    "aarch64-linux-gnu-gcc": "C for 64-bit ARM Linux",
    "qemu-system-arm": "running Cortex-M programs without a board",
}
# Distribution → what it runs.
RUNTIMES = {
    "onnxruntime": "acting with artifacts",
    "torch": "reading and compressing agents",
}
# Distribution → the extra that installs it, what it is for, and whether everybody is advised to have it.
EXTRAS = {
    "policypress-train": ("train", "training agents, policypress train", True),
    "ale-py": ("atari", "Atari games", False),
    "huggingface-hub": ("hub", "reading agents from the Hugging Face Hub, hub:org/repo", True),
    "ai-edge-litert": ("litert", "comparing with LiteRT", False),
    "openvino": ("openvino", "comparing with OpenVINO", False),
    "nvidia-ml-py": ("nvml", "energy of NVIDIA graphics processors", False),
}
_METER_WORDS = {
    "rapl": "energy of the processor",
    "nvml": "energy of NVIDIA graphics processors",
    "battery": "energy of the whole machine, from its battery",
}


@dataclass(frozen=True)
class Finding:
    """Something that is there or not.

    ``purpose`` is what it is for, ``detail`` what was found or why nothing was, ``advice`` what to do to have it.
    """

    name: str
    available: bool
    purpose: str
    detail: str = ""
    advice: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """Findings by subject, with the machine they hold for."""

    machine: Mapping[str, Any]
    quantities: tuple[Finding, ...]
    meters: tuple[Finding, ...]
    compilers: tuple[Finding, ...]
    runtimes: tuple[Finding, ...]
    graphics: tuple[Finding, ...]
    extras: tuple[Finding, ...]

    def advice(self) -> tuple[str, ...]:
        """What to do for more, once each."""
        groups = (self.quantities, self.meters, self.compilers, self.runtimes, self.graphics, self.extras)
        return tuple(dict.fromkeys(f.advice for group in groups for f in group if f.advice is not None))

    def to_json(self) -> dict[str, Any]:
        """JSON form."""
        return {**asdict(self), "advice": list(self.advice())}


def diagnose(meters: Mapping[str, Opener] = ALL_METERS) -> Diagnosis:
    """Look at this machine.

    Args:
        meters: name → what opens it.
    """
    machine = fingerprint()
    graphics = _graphics()
    metering = tuple(_metered(name, opened, graphics[0].available) for name, opened in meters.items())
    return Diagnosis(
        machine=machine,
        quantities=_quantities(machine, metering),
        meters=metering,
        compilers=_compilers(),
        runtimes=(_native(), *(_runtime(name, purpose) for name, purpose in RUNTIMES.items())),
        graphics=graphics,
        extras=tuple(_extra(name, *told) for name, told in EXTRAS.items()),
    )


def _metered(name: str, opened: Opener, graphics: bool) -> Finding:
    """Whether a meter opens; without graphics processors, their meter is not suggested."""
    purpose = _METER_WORDS.get(name, "energy")
    try:
        meter: Meter = opened()
        meter.energy_j()
    except MeterError as error:
        advice = error.hint if graphics or name != "nvml" else None
        return Finding(name, False, purpose, reason_of(error), advice)
    counters = ", ".join(str(item) for items in meter.described().values() for item in items)
    return Finding(name, True, purpose, f"{counters}; steps of {meter.resolution_j:.2g} J")


def _quantities(machine: Mapping[str, Any], meters: Iterable[Finding]) -> tuple[Finding, ...]:
    cores = len(machine["affinity"] or ()) or machine["cores_logical"] or 1
    reading = [meter.name for meter in meters if meter.available and meter.name != "nvml"]
    energy = (
        f"measured by {' and '.join(reading)}" if reading else "modelled from CPU time: no energy meter can be read"
    )
    flags = ", ".join(machine["cpu_flags"]) or "none that is known to matter"
    return (
        Finding("return", True, "episodes on fixed seeds", f"{cores} at a time, one process per core"),
        _latency(cores),
        Finding("memory", True, "peak resident set of a fresh process", "from the operating system"),
        Finding("CPU time", True, "CPU-seconds per action", "from the operating system"),
        Finding(
            "energy",
            bool(reading),
            "joules per action and per episode",
            energy,
            None
            if reading
            else f"Energy is modelled at {WATTS_PER_CORE:g} W a busy core; state yours: --watts-per-core W",
        ),
        Finding("instruction sets", bool(machine["cpu_flags"]), "speed of small networks", flags),
    )


def _latency(cores: int) -> Finding:
    """Latency can always be measured, but means little on a busy machine."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    advice = None
    detail = "the machine is quiet"
    if load / cores > _BUSY_LOAD:
        detail = f"other programs are running (load {load:.1f} on {cores} cores): latencies will scatter"
        advice = "Measure costs while nothing else runs."
    return Finding("latency", True, "seconds per action, warm and cold", detail, advice)


def _compilers() -> tuple[Finding, ...]:
    found = tuple(_tool(name, purpose) for name, purpose in COMPILERS.items())
    if any(item.available for item in found if item.name in ("cc", "gcc", "clang")):
        return found
    advice = "Install a C compiler (Debian: apt install build-essential; macOS: xcode-select --install)."
    return (Finding("cc", False, COMPILERS["cc"], "no C compiler is on the path", advice), *found[1:])


def _tool(name: str, purpose: str) -> Finding:
    path = shutil.which(name)
    if path is None:
        return Finding(name, False, purpose, "not on the path")
    text = _output([path, "--version"])
    if text is None:
        return Finding(name, False, purpose, f"{path} does not run")
    return Finding(name, True, purpose, text.splitlines()[0] if text else path)


def _native() -> Finding:
    """The native runtime: its compiler, the kernels that it gets here, and its cache."""
    purpose = "running artifacts as machine code"
    try:
        compiler = find_compiler()
        check_compiler((*compiler.command, *compiler.options))
        kernels = kernels_here(compiler)
    except NativeBuildError as error:
        return Finding("native", False, purpose, error.message, error.hint)
    cache = Cache()
    try:
        cache.prepare()
    except NativeBuildError as error:
        return Finding("native", False, purpose, error.message, error.hint)
    megabytes = f"{cache.size_bytes() / 1e6:.1f} of at most {cache.limit_bytes / 1e6:.0f} MB"
    detail = f"{' '.join(compiler.command)}, {kernels} kernels; built modules: {cache.folder}, {megabytes}"
    return Finding("native", True, purpose, detail, cache.notice)


def _runtime(name: str, purpose: str) -> Finding:
    version = _version(name)
    return Finding(name, version is not None, purpose, version or "not installed")


def _extra(name: str, extra: str, purpose: str, advised: bool) -> Finding:
    version = _version(name)
    advice = f"pip install 'policypress[{extra}]'  ({purpose})" if version is None and advised else None
    return Finding(name, version is not None, purpose, version or "not installed", advice)


def _graphics() -> tuple[Finding, ...]:
    """NVIDIA's graphics processors, as the driver lists them, or one finding that there are none."""
    purpose = "training on it; artifacts act on the processor"
    folders = sorted(_NVIDIA.glob("*/information"))
    lines = [line for folder in folders for line in folder.read_text(errors="replace").splitlines()]
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    if not models and (tool := shutil.which("nvidia-smi")) is not None:
        models = (_output([tool, "--query-gpu=name", "--format=csv,noheader"]) or "").splitlines()
    if not models:
        return (Finding("NVIDIA", False, purpose, "no driver, or no such hardware; not required"),)
    return tuple(Finding("NVIDIA", True, purpose, model) for model in models)


def _output(command: list[str]) -> str | None:
    """What a tool prints; None if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TOOL_LIMIT_S, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
