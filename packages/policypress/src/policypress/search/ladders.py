"""The candidate recipes of a search: a table of recipe families, each a ladder from mild to strong compression.

A family whose steps are not registered, or do not take these parameters, is left out, so that a new method joins the
search by its line here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policypress.compression.recipe import Recipe
from policypress.search.front import spread
from policypress_runtime.errors import RecipeError

RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
COARSE_RUNGS = 3
HARD_RATIOS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.94, 0.97, 0.985)


@dataclass(frozen=True)
class Family:
    """Recipes that differ in one number: ``template`` with each of ``rungs`` in the place of ``{}``.

    ``trained`` families take gradient steps, so they are tried after the others, and only where they can win.
    ``instead_of`` names a family that this one takes the place of where both are there.
    """

    name: str
    template: str
    rungs: tuple[float | int, ...]
    trained: bool = False
    instead_of: str | None = None

    def recipes(self) -> tuple[Recipe, ...]:
        """Its recipes, mildest first; none where a step is not there."""
        try:
            return tuple(Recipe.parse(self.template.format(f"{rung:g}")) for rung in self.rungs)
        except RecipeError:
            return ()


FAMILIES = (
    Family("int8", "equalize > int8", (8,)),
    Family("GPTQ", "equalize > gptq({})", (8,), instead_of="int8"),
    Family("4 bits", "equalize > gptq({}, storage=int4)", (4,)),
    Family("l2 norm", "prune(l2, {}) > equalize > int8", RATIOS),
    Family("l2 norm, refit", "prune(l2, {}) > refit > equalize > int8", RATIOS, instead_of="l2 norm"),
    Family("activation, refit", "prune(activation, {}) > refit > equalize > int8", RATIOS, instead_of="l2 norm, refit"),
    Family("elimination", "prune(obs, {}) > equalize > int8", RATIOS),
    Family("elimination, GPTQ", "prune(obs, {}) > equalize > gptq(8)", RATIOS),
    Family("elimination, 4 bits", "prune(obs, {}) > equalize > gptq(4, storage=int4)", RATIOS),
    Family("distilled", "prune(obs, {}) > distill(dagger, w=8, a=8)", HARD_RATIOS, trained=True),
)


def families(table: Sequence[Family] = FAMILIES, *, trained: bool = True) -> tuple[Family, ...]:
    """The families that can be used here, without those that another takes the place of.

    Args:
        table: of all.
        trained: with those that take gradient steps.
    """
    usable = [family for family in table if family.recipes() and (trained or not family.trained)]
    replaced = {family.instead_of for family in usable}
    return tuple(family for family in usable if family.name not in replaced)


def coarse_to_fine(table: Sequence[Family]) -> list[tuple[Family, list[Recipe]]]:
    """The order of building: a few rungs of every family, then all others, so that little time reaches each of them.

    Families of one rung come first, as the mildest do; of the others those with the fewest bits, last in the table,
    are the likeliest to win.
    """
    short = [family for family in table if len(family.rungs) <= COARSE_RUNGS]
    long = [family for family in reversed(table) if family not in short]
    rounds = [(family, list(family.recipes())) for family in short]
    coarse = {family: spread(family.recipes(), COARSE_RUNGS) for family in long}
    rounds += coarse.items()
    return rounds + [(f, [recipe for recipe in f.recipes() if recipe not in coarse[f]]) for f in long]
