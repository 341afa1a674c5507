"""Every method's class by its name in recipes, from the table in :mod:`policypress.compression.methods`."""

from __future__ import annotations

from importlib import import_module

from policypress.compression.methods import METHODS
from policypress.compression.step import Step


def _class_of(where: str) -> type[Step]:
    module, _, name = where.partition(":")
    found: type[Step] = getattr(import_module(f"policypress.compression.{module}"), name)
    return found


STEPS: dict[str, type[Step]] = {name: _class_of(method.where) for name, method in METHODS.items()}
