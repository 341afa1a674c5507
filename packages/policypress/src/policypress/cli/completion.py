"""What a shell offers for the value of an option.

Most names stand here once more, because their registries are slow to load; a test compares each with its registry.
"""

from __future__ import annotations

from collections.abc import Callable

from policypress.agents.algorithm_names import NAMES as ALGORITHMS
from policypress.compression.methods import METHODS

STEPS = tuple(METHODS)
NO_STEP = "none"
OBJECTIVES = ("size", "latency", "energy", "macs")
RUNTIMES = ("auto", "native", "onnxruntime")
TARGETS = (
    *("host", "aarch64", "cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "rp2040"),
    *("esp32", "esp32c3", "esp8266", "avr", "riscv32", "freestanding"),
)
PACKAGES = ("arduino", "esp-idf", "platformio", "zephyr", "ros2", "cmake", "cargo", "npm")
EXECUTORS = ("local", "debug", "ray")
EXPORTS = ("parquet", "mlflow")
PUBLISHERS = ("zoo", "li2023")
UPDATES = ("auto", "fast", "native", "stock")
KERNELS = ("amx", "avx512", "avx2", "plain")


def one_of(names: tuple[str, ...]) -> Callable[[str], list[str]]:
    """What completes to one of ``names``."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


def algorithms(incomplete: str) -> list[str]:
    """The algorithms that ``incomplete`` begins; capital letters are kept."""
    return [incomplete + name[len(incomplete) :] for name in ALGORITHMS if name.startswith(incomplete.lower())]


def recipes(incomplete: str) -> list[str]:
    """Recipes of one more step than ``incomplete`` has.

    The first word alone is offered: ``>`` and brackets, where nothing quotes them, mean something else to a shell.

    >>> recipes("equalize > in")
    ['equalize > int8']
    """
    before, arrow, last = incomplete.rpartition(">")
    begun = last.lstrip()
    kept = before + arrow + last[: len(last) - len(begun)]
    return [kept + name for name in (*STEPS, *([] if arrow else [NO_STEP])) if name.startswith(begun)]
