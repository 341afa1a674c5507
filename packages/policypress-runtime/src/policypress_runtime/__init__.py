"""Runs small policies: the contract of an artifact, C from ONNX, runtimes. Needs numpy, onnx and onnxruntime.

The public names are resolved when they are first used, so that importing one part does not import all.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "load_artifact": "policypress_runtime.runtimes.loading",
    "Contract": "policypress_runtime.contract",
    "PolicypressError": "policypress_runtime.errors",
}

__all__ = ["Contract", "PolicypressError", "load_artifact"]

TYPE_CHECKING = False  # type checkers take it for true; typing itself might lie in the current folder under -m
if TYPE_CHECKING:
    from typing import Any

    from policypress_runtime.contract import Contract
    from policypress_runtime.errors import PolicypressError
    from policypress_runtime.runtimes.loading import load_artifact


def __getattr__(name: str) -> Any:
    """Import the public name's module on first use (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted([*__all__, "__version__"])
