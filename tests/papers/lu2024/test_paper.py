"""The paper's tables as the project has them: whole, and the numbers that everything else is derived from."""

from __future__ import annotations

from itertools import product

from policypress_lu2024.paper import ALGORITHMS, ENVIRONMENTS, NORMS, RATIOS, table1, table2, table3

PLACES = set(product(ALGORITHMS, ENVIRONMENTS))


def test_every_table_has_every_place() -> None:
    assert set(table1()) == set(table2()) == set(table3()) == PLACES


def test_numbers_of_the_paper() -> None:
    assert table1()["sac", "Humanoid"] == {"baseline": 4287.29, "ptdq": -84.51, "ptsq": 23.4, "qat": 311.68}
    assert table2()["trpo", "Hopper"].l2_ratio == 0.45
    assert (table3()["ddpg", "Ant"].norm, table3()["ddpg", "Ant"].ratio) == ("l1", 0.1)


def test_ratios_are_those_that_the_paper_tried() -> None:
    assert {row.ratio for row in table3().values()} <= set(RATIOS)
    assert {ratio for row in table2().values() for ratio in (row.l1_ratio, row.l2_ratio)} <= set(RATIOS)
    assert {row.norm for row in table3().values()} == set(NORMS)
