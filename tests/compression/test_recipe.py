from __future__ import annotations

import json
import pickle
import subprocess
import sys
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress.compression.pruning.prune import Prune
from policypress.compression.quantization.equalize import Equalize
from policypress.compression.quantization.int8 import Int8
from policypress.compression.quantization.ptdq import Ptdq
from policypress.compression.quantization.ptsq import Ptsq
from policypress.compression.recipe import Recipe
from policypress.compression.registry import STEPS
from policypress.compression.step import Stage, Step
from policypress_runtime.errors import RecipeError

ratios = st.floats(0, 1, exclude_min=True, exclude_max=True, allow_subnormal=False)
weights = st.sampled_from(["int8", "fp32"])
prunes = st.builds(Prune, st.sampled_from(["l1", "l2"]), ratios)
quantizers = st.one_of(st.just(Int8()), st.builds(Ptdq, weights), st.builds(Ptsq, weights))


# Recipes are built in the tests: the run-time checker of types draws from ``random``, which strategies must not.
steps = st.tuples(
    st.lists(prunes, max_size=2), st.lists(st.just(Equalize()), max_size=1), st.lists(quantizers, max_size=1)
)
Steps = tuple[list[Step], ...]


def recipe_of(parts: Steps) -> Recipe:
    return Recipe(tuple(step for part in parts for step in part))


@given(steps)
def test_text_reads_back_as_the_same_recipe(parts: Steps) -> None:
    recipe = recipe_of(parts)
    assert Recipe.parse(recipe.text) == recipe
    assert Recipe.parse(recipe.text.replace(" ", "")) == recipe
    assert Recipe.parse(recipe.text).hash == recipe.hash


@given(steps)
def test_json_reads_back_as_the_same_recipe(parts: Steps) -> None:
    recipe = recipe_of(parts)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@given(steps, steps)
def test_text_and_hash_identify_a_recipe(left: Steps, right: Steps) -> None:
    first, second = recipe_of(left), recipe_of(right)
    assert (first == second) == (first.text == second.text) == (first.hash == second.hash)


@given(steps)
def test_a_slug_is_a_file_name(parts: Steps) -> None:
    slug = recipe_of(parts).slug
    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-_")
    assert not slug.startswith((".", "-"))


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("", "none"),
        (" none ", "none"),
        ("equalize>int8", "equalize > int8"),
        ("prune( l2 ,.50 )>equalize", "prune(l2, 0.5) > equalize"),
        ("prune(criterion=l1, ratio=3e-1)", "prune(l1, 0.3)"),
        ("ptdq(weights=int8)", "ptdq"),
        ("ptsq(weights = fp32)", "ptsq(weights=fp32)"),
        ("equalize()", "equalize"),
        ("prune(l2, 0.1234567890123)", "prune(l2, 0.1234567890123)"),
    ],
)
def test_canonical_text(written: str, canonical: str) -> None:
    assert Recipe.parse(written).text == canonical


# The hash is in every store: these must never change while the method's parameters do not.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", "a5dd3ce7993c63ad"),
        ("prune(l2, 0.5) > equalize > int8", "747fd86ab49f7a63"),
        ("prune(l1, 0.3)", "3ee801b3158361ed"),
        ("ptdq", "05097633c1805cfb"),
        ("ptdq(weights=fp32)", "87b58be96996df2f"),
        ("equalize > ptsq", "01d0d5e2179f297f"),
    ],
)
def test_hashes_are_stable(text: str, expected: str) -> None:
    assert Recipe.parse(text).hash == expected


def test_hashes_are_those_of_any_other_process() -> None:
    code = "from policypress import Recipe; print(Recipe.parse('prune(l2, 0.3) > ptdq').hash)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == Recipe.parse("prune(l2, 0.3) > ptdq").hash


def test_versions_name_every_method_used() -> None:
    assert Recipe.parse("prune(l2, 0.3) > equalize > int8").versions == {
        name: STEPS[name].version for name in ("prune", "equalize", "int8")
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prunee(l2, 0.3)", "Did you mean 'prune'?"),
        ("equalise > int8", "Did you mean 'equalize'?"),
        ("magic", "distill, equalize, .*int8, prune, ptdq, ptsq"),
        ("none > int8", "Unknown step"),
        ("int8 > prune(l2, 0.3)", r"try prune\(l2, 0.3\) > int8"),
        ("int8 > equalize", "try equalize > int8"),
        ("ptdq > equalize", "lowering ends a recipe"),
        ("int8 > ptdq", "got: int8 and ptdq"),
        ("ptsq > ptsq", "can quantize only once"),
        ("ptsq > int8", "can quantize only once"),
        ("prune(l2)", r"expected: prune\(criterion, ratio, scope=…\)"),
        ("prune(l2, 0.3, 4)", "do not fit"),
        ("prune(l2, criterion=l1)", "do not fit"),
        ("prune(l2, 0.3, speed=1)", "do not fit"),
        ("int8(8)", r"expected: int8\(\)"),
        ("ptdq(fp32)", "weights=…"),
        ("ptdq(weights=fp16)", "weights=int8 or weights=fp32"),
        ("prune(l3, 0.3)", "l1 or l2"),
        ("prune(l2, 0)", "between 0 and 1"),
        ("prune(l2, 1)", "between 0 and 1"),
        ("prune(l2, 1.5)", "between 0 and 1"),
        ("prune(l2, -0.1)", "between 0 and 1"),
        ("prune(l2, nan)", "a number"),
        ("prune(0.3, l2)", "criterion"),
        ("prune(l2, 0.3", "cannot be parsed"),
        ("prune(l2,, 0.3)", "cannot be parsed"),
        ("prune(l2, 30%)", "a number or a name"),
        ("prune(l2, ratio=0.3, ratio=0.4)", "given twice"),
        ("prune(criterion=l2, 0.3)", "positional argument follows"),
        ("equalize >", "joined by >"),
        ("> int8", "joined by >"),
        ("int8; equalize", "joined by >"),
    ],
)
def test_errors_say_what_would_be_right(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        Recipe.parse(text)
    assert caught.value.got is not None
    assert caught.value.expected is not None


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"version": 2, "steps": []},
        {"version": 1},
        {"version": 1, "steps": "int8"},
        {"version": 1, "steps": ["int8"]},
        {"version": 1, "steps": [{"step": "magic"}]},
        {"version": 1, "steps": [{}]},
        {"version": 1, "steps": [{"step": "prune", "criterion": "l2"}]},
        {"version": 1, "steps": [{"step": "prune", "criterion": "l2", "ratio": "0.3"}]},
        {"version": 1, "steps": [{"step": "prune", "criterion": "l2", "ratio": True}]},
        {"version": 1, "steps": [{"step": "int8"}, {"step": "equalize"}]},
    ],
)
def test_wrong_json_is_a_recipe_error(data: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        Recipe.from_json(data)


@dataclass(frozen=True)
class Widths(Step):
    """A step with a list, which decides where the step stands."""

    name: ClassVar[str] = "widths"
    stage: ClassVar[Stage] = Stage.STRUCTURE
    version: ClassVar[int] = 1
    hidden: tuple[int, ...] = ()
    tail: tuple[int, ...] = ()
    bits: int = 32

    def __post_init__(self) -> None:
        if self.bits < 32:
            self._stand_at(Stage.QUANTIZATION)


@pytest.fixture
def widths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STEPS, "widths", Widths)


@pytest.mark.usefixtures("widths")
@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("widths(hidden=[64,64])", "widths(hidden=[64,64])"),
        ("widths( hidden = [ 64 , 8 ] , bits=4 )", "widths(hidden=[64,8], bits=4)"),
        ("widths(hidden=[1],tail=[2,3])>equalize", "widths(hidden=[1], tail=[2,3]) > equalize"),
        ("widths(hidden=[])", "widths"),
        ("equalize > widths(bits=8, hidden=[16])", "equalize > widths(hidden=[16], bits=8)"),
    ],
)
def test_lists_of_integers(written: str, canonical: str) -> None:
    recipe = Recipe.parse(written)
    assert recipe.text == canonical
    assert Recipe.parse(canonical) == recipe
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    assert recipe.to_json() == json.loads(json.dumps(recipe.to_json()))
    assert set(recipe.slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-_")


@pytest.mark.usefixtures("widths")
@pytest.mark.parametrize(
    "text",
    [
        "widths(hidden=64)",
        "widths(hidden=wide)",
        "widths(hidden=[64.5])",
        "widths(hidden=[a])",
        "widths(hidden=[1,[2]])",
        "widths(hidden=[1,])",
        "widths(hidden=[1,2)",
        "widths(hidden=1,2])",
        "widths(bits=[8])",
    ],
)
def test_what_is_no_list_of_integers_is_an_error(text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse(text)
    assert caught.value.expected is not None


@pytest.mark.usefixtures("widths")
def test_parameters_may_decide_the_stage() -> None:
    assert Recipe.parse("widths > equalize > int8").steps[0].stage is Stage.STRUCTURE
    assert Recipe.parse("equalize > widths(bits=8)").steps[1].stage is Stage.QUANTIZATION
    with pytest.raises(RecipeError, match=r"try equalize > widths\(bits=8\)"):
        Recipe.parse("widths(bits=8) > equalize")
    with pytest.raises(RecipeError, match="can quantize only once"):
        Recipe.parse("widths(bits=8) > int8")
    step = pickle.loads(pickle.dumps(Widths(bits=8)))
    assert (step, step.stage) == (Widths(bits=8), Stage.QUANTIZATION)
    assert replace(step, bits=32).stage is Stage.STRUCTURE


@pytest.mark.usefixtures("widths")
def test_a_later_parameter_leaves_old_recipes_their_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Wider(Widths):
        """The step a release later."""

        margin: int = field(default=0, metadata={"later": True})

    before = Recipe.parse("widths(bits=8)")
    monkeypatch.setitem(STEPS, "widths", Wider)
    after, used = Recipe.parse("widths(bits=8)"), Recipe.parse("widths(bits=8, margin=2)")
    assert after.hash == before.hash != used.hash
    assert [Recipe.from_json(recipe.to_json()) for recipe in (after, used)] == [after, used]


@given(st.text(alphabet="prunel12(),.=>[] 0e-inta8qdsz", max_size=30))
def test_any_text_is_a_recipe_or_a_recipe_error(text: str) -> None:
    try:
        recipe = Recipe.parse(text)
    except RecipeError:
        return
    assert Recipe.parse(recipe.text) == recipe
