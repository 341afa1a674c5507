"""Makes trained reinforcement-learning policies small, fast and frugal without losing return.

The public names are resolved when they are first used, so that importing one part does not import all.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "load_agent": "policypress.agents.loading",
    "Policy": "policypress.policy.policy",
    "Recipe": "policypress.compression.recipe",
    "compress": "policypress.search.compress",
    "Search": "policypress.search.elsewhere.ask_and_tell",
    "evaluate": "policypress.measurement.evaluation",
    "certify": "policypress.measurement.certificate.trials",
    "benchmark": "policypress.measurement.costs.latency",
    "export_agent": "policypress.study.export_agent",
    "train": "policypress.engine.train_agent",
    "load_artifact": "policypress_runtime.runtimes.loading",
}

__all__ = [
    "Policy",
    "Recipe",
    "Search",
    "benchmark",
    "certify",
    "compress",
    "evaluate",
    "export_agent",
    "load_agent",
    "load_artifact",
    "train",
]

TYPE_CHECKING = False  # type checkers take it for true; typing itself might lie in the current folder under -m
if TYPE_CHECKING:
    from typing import Any

    from policypress.agents.loading import load_agent
    from policypress.compression.recipe import Recipe
    from policypress.engine.train_agent import train
    from policypress.measurement.certificate.trials import certify
    from policypress.measurement.costs.latency import benchmark
    from policypress.measurement.evaluation import evaluate
    from policypress.policy.policy import Policy
    from policypress.search.compress import compress
    from policypress.search.elsewhere.ask_and_tell import Search
    from policypress.study.export_agent import export_agent
    from policypress_runtime.runtimes.loading import load_artifact


def __getattr__(name: str) -> Any:
    """Import the public name's module on first use (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted([*__all__, "__version__"])
