"""The method that CONTRIBUTING.md adds as its example is added, as it says, and passes what every method has to."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from checkpoint_policies import materials_for, sac
from policypress.compression import methods, recipe
from policypress.compression.methods import Method
from policypress.compression.pipeline import build_artifact
from policypress.compression.recipe import Recipe

PAGE = (Path(__file__).resolve().parents[2] / "CONTRIBUTING.md").read_text()


def test_the_example_is_a_method(monkeypatch: pytest.MonkeyPatch) -> None:
    code, line = re.findall(r"^```python\n# (?:packages|one line)[^\n]*\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[:2]
    module = ModuleType("ternary_of_the_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, "CONTRIBUTING.md", "exec"), module.__dict__)
    entry = eval("{" + line + "}", {"Method": Method})
    monkeypatch.setitem(methods.METHODS, "ternary", entry["ternary"])
    monkeypatch.setitem(recipe.STEPS, "ternary", module.Ternary)

    torch.manual_seed(0)
    policy = sac()
    found = Recipe.parse("equalize > ternary(threshold=0.6)")
    assert found.text == "equalize > ternary(threshold=0.6)"
    assert Recipe.from_json(found.to_json()) == found
    built = build_artifact(policy, found, materials_for(policy))
    assert (
        built.record.packed_bytes
        < build_artifact(policy, Recipe.parse("int8"), materials_for(policy)).record.packed_bytes
    )
    assert entry["ternary"].of({"step": "ternary"}) == "weights of −1, 0 and 1, 8-bit activations"
