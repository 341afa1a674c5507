from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import policypress.compression
from policypress.compression.methods import CRITERIA, METHODS
from policypress.compression.pruning.prune import REMOVALS
from policypress.compression.registry import STEPS
from policypress.compression.step import Stage, Step

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"


def methods(parent: type[Step]) -> Iterator[type[Step]]:
    """All that have a name; what several have in common has none."""
    for step in parent.__subclasses__():
        if "name" in vars(step):
            yield step
        yield from methods(step)


def test_every_method_is_registered_under_its_name() -> None:
    for module in pkgutil.walk_packages(policypress.compression.__path__, "policypress.compression."):
        importlib.import_module(module.name)
    defined = {step for step in methods(Step) if step.__module__.startswith("policypress.")}
    assert set(STEPS.values()) == defined
    assert all(name == step.name for name, step in STEPS.items())


def test_every_criterion_of_pruning_has_words_and_a_function() -> None:
    assert set(REMOVALS) == set(CRITERIA)


@pytest.mark.parametrize("step", STEPS.values())
def test_a_method_is_complete(step: type[Step]) -> None:
    assert step.name.isidentifier()
    assert step.name.islower()
    assert isinstance(step.stage, Stage)
    assert step.version >= 1
    assert is_dataclass(step)
    assert step.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert ("lower" in vars(step)) == (step.stage is Stage.LOWERING)
    assert ("apply" in vars(step)) == (step.stage is not Stage.LOWERING)
    for parameter in fields(step):
        assert parameter.metadata.get("positional") or parameter.default is not parameter.default_factory


@pytest.mark.parametrize("name", METHODS)
def test_methods_do_not_know_each_other(name: str) -> None:
    """Neither does what a method imports of this package."""
    others = {step.__module__ for other, step in STEPS.items() if other != name}
    waiting, seen = [STEPS[name].__module__], set[str]()
    while waiting:
        module = waiting.pop()
        seen.add(module)
        source = Path(str(importlib.import_module(module).__file__)).read_text()
        found = {
            node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.module
        }
        waiting += [one for one in found - seen if one.startswith("policypress.compression.")]
    assert seen & others == set()


@pytest.mark.parametrize("name", STEPS)
def test_a_method_is_documented(name: str) -> None:
    assert any(line.startswith("## ") and f"`{name}" in line for line in DOCUMENT.read_text().splitlines())
