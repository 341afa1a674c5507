"""The table of recipe families: every recipe parses, ladders climb, and what replaces what."""

from __future__ import annotations

from policypress.compression.recipe import Recipe
from policypress.search.ladders import COARSE_RUNGS, FAMILIES, Family, coarse_to_fine, families


def test_every_usable_family_gives_recipes_that_parse_and_differ() -> None:
    usable = families()
    assert usable
    texts = [recipe.text for family in usable for recipe in family.recipes()]
    assert len(set(texts)) == len(texts)
    assert all(Recipe.parse(text).text == text for text in texts)
    assert "prune(obs, 0.5) > equalize > gptq(8)" in texts


def test_training_free_families_take_no_gradient_steps() -> None:
    free = families(trained=False)
    assert free == tuple(family for family in families() if not family.trained)
    assert len(free) < len(families())
    assert not any("distill" in recipe.text for family in free for recipe in family.recipes())


def test_a_family_whose_steps_are_not_there_is_left_out() -> None:
    known = Family("a", "prune(l2, {}) > int8", (0.1, 0.2))
    unknown = Family("b", "melt({}) > int8", (0.1,), instead_of="a")
    assert families((known, unknown)) == (known,)
    assert [recipe.text for recipe in known.recipes()] == ["prune(l2, 0.1) > int8", "prune(l2, 0.2) > int8"]


def test_a_better_family_takes_the_place_of_another() -> None:
    old = Family("old", "prune(l1, {}) > int8", (0.1,))
    new = Family("new", "prune(l2, {}) > int8", (0.1,), instead_of="old")
    assert families((old, new)) == (new,)


def test_ladders_climb() -> None:
    for family in FAMILIES:
        assert list(family.rungs) in (sorted(family.rungs), sorted(family.rungs, reverse=True)), family.name


def test_all_recipes_are_built_once_and_every_family_is_reached_early() -> None:
    usable = families(trained=False)
    order = [(family.name, recipe) for family, recipes in coarse_to_fine(usable) for recipe in recipes]
    assert sorted(recipe.text for _, recipe in order) == sorted(r.text for f in usable for r in f.recipes())
    early = order[: COARSE_RUNGS * len(usable)]
    assert {name for name, _ in early} == {family.name for family in usable}
    assert order[0][0] == usable[0].name, "the mildest first"
