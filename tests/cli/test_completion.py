"""What a shell completes: names as their registries have them, and nothing slow imported for it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import get_args

import pytest

from policypress.cli import completion
from policypress.compression.recipe import NONE, Recipe
from policypress.compression.registry import STEPS as ALL_STEPS
from policypress.engine.executors.choice import EXECUTORS as ALL_EXECUTORS
from policypress.search.history import OBJECTIVES as ALL_OBJECTIVES
from policypress_runtime.codegen.targets import TARGETS as ALL_TARGETS
from policypress_runtime.runtimes.protocol import RuntimeChoice
from policypress_train.algorithms import ALGORITHMS as ALL_ALGORITHMS
from policypress_train.hyperparameters.defaults import STUDIES, ZOO
from policypress_train.native.compiled import SETS
from policypress_train.spec import Update

RUN = "import sys\nsys.argv = ['policypress']\nfrom policypress.cli.app import main\n"
TOLD = "try:\n    main()\nexcept SystemExit:\n    pass\nprint('loaded:', *sys.modules)"
SLOW = {"torch", "numpy", "gymnasium", "onnx", "onnxruntime", "pandas", "pydantic", "rich.console"}


def offered(words: str) -> list[str]:
    """What is offered for the last of ``words``, of which a shell has split none."""
    count = len(words.split(" ")) - 1 if '"' not in words else 4
    typed = {"COMP_WORDS": words, "COMP_CWORD": str(count), "_POLICYPRESS_COMPLETE": "complete_bash"}
    run = subprocess.run(
        [sys.executable, "-c", RUN + TOLD], capture_output=True, text=True, check=True, env={**os.environ, **typed}
    )
    shown, _, loaded = run.stdout.rpartition("loaded:")
    assert not set(loaded.split()) & SLOW
    return shown.splitlines()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("policypress comp", ["compress"]),
        ("policypress compress --mini", ["--minimize"]),
        ("policypress compress agent.zip --minimize ", list(ALL_OBJECTIVES)),
        ("policypress compress agent.zip --episodes many --minimize e", ["energy"]),
        ("policypress compress agent.zip --recipe eq", ["equalize"]),
        ('policypress compress agent.zip --recipe "equalize > int', ["equalize > int8"]),
        (
            "policypress export agent.zip --target cortex",
            ["cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33"],
        ),
        ("policypress evaluate agent.zip --runtime n", ["native"]),
        ("policypress bench agent.zip --runtime o", ["onnxruntime"]),
        ("policypress train s", ["sac"]),
        ("policypress train sac Hopper-v4 --update st", ["stock"]),
        ("policypress study run missing.yml --executor ", list(ALL_EXECUTORS)),
        ("policypress study export missing.yml --to ", ["parquet", "mlflow"]),
    ],
)
def test_values_are_offered_and_nothing_slow_is_imported(words: str, expected: list[str]) -> None:
    assert offered(words) == expected


def test_the_names_are_those_of_the_registries() -> None:
    assert tuple(ALL_ALGORITHMS) == completion.ALGORITHMS
    assert tuple(ALL_STEPS) == completion.STEPS
    assert completion.NO_STEP == NONE
    assert completion.OBJECTIVES == ALL_OBJECTIVES
    assert set(completion.RUNTIMES) == set(get_args(RuntimeChoice))
    assert tuple(ALL_TARGETS) == completion.TARGETS
    assert completion.EXECUTORS == ALL_EXECUTORS
    assert (ZOO, *STUDIES) == completion.PUBLISHERS
    assert set(completion.UPDATES) == set(get_args(Update))
    assert tuple(kernels.name for kernels in SETS) == completion.KERNELS


def test_capital_letters_stay_and_a_recipe_goes_on_after_an_arrow() -> None:
    assert completion.algorithms("T") == ["Td3", "Trpo"]
    assert completion.recipes("prune(l2, 0.3) > re") == ["prune(l2, 0.3) > refit"]
    assert completion.recipes("equalize>int") == ["equalize>int8"]
    assert "none" not in completion.recipes("equalize > ")


def test_what_is_offered_unquoted_means_nothing_else_to_a_shell() -> None:
    first = completion.recipes("")
    assert all(name.isalnum() for name in first)
    assert Recipe.parse("none").text in first
