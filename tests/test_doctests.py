"""The examples in docstrings give what stands under them.

The docstrings are read from the source: functions that the tests' checks of shapes wrap are passed over by ``doctest``.
"""

from __future__ import annotations

import ast
import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(ROOT.glob("packages/*/src")) + sorted(ROOT.glob("papers/*/src"))
WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def examples() -> dict[str, list[tuple[str, int, str]]]:
    """Module → (name, line, docstring) of each docstring with examples in it."""
    found: dict[str, list[tuple[str, int, str]]] = {}
    for source, path in [(folder, path) for folder in SOURCES for path in sorted(folder.rglob("*.py"))]:
        text = path.read_text()
        if ">>> " not in text:
            continue
        module = ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(text)):
            docstring = ast.get_docstring(node) if isinstance(node, WITH_DOCSTRING) else None
            if docstring and ">>> " in docstring:
                name = module if isinstance(node, ast.Module) else f"{module}.{node.name}"
                found.setdefault(module, []).append((name, getattr(node, "lineno", 1), docstring))
    return found


EXAMPLES = examples()


@pytest.mark.parametrize("module", EXAMPLES)
def test_examples_of_docstrings(module: str) -> None:
    names = vars(importlib.import_module(module))
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    report: list[str] = []
    for name, line, docstring in EXAMPLES[module]:
        runner.run(doctest.DocTestParser().get_doctest(docstring, dict(names), name, module, line), out=report.append)
    skipped = all("+SKIP" in line for *_, text in EXAMPLES[module] for line in text.splitlines() if ">>> " in line)
    assert runner.tries > 0 or skipped
    assert runner.failures == 0, "".join(report)


def test_examples_are_found() -> None:
    assert sum(map(len, EXAMPLES.values())) > 50
