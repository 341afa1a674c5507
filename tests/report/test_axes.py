"""Axes and labels: round ticks inside the domain, and labels that cover nothing."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from policypress.report.axes import Label, log_domain, log_ticks, place


@given(st.floats(1e-9, 1e9), st.floats(1.0, 1e6))
def test_ticks_are_few_rising_and_inside(low: float, factor: float) -> None:
    domain = log_domain([low, low * factor])
    ticks = log_ticks(domain)
    assert 1 <= len(ticks) <= 8
    assert ticks == sorted(set(ticks))
    assert all(domain[0] <= tick <= domain[1] for tick in ticks)


def test_the_domain_has_room_around_equal_values() -> None:
    low, high = log_domain([5.0, 5.0])
    assert low < 5.0 < high
    assert math.isclose(low * high, 25.0)


@given(st.lists(st.tuples(st.floats(0, 600), st.floats(0, 300)), max_size=12))
def test_labels_cover_neither_each_other_nor_points(points: list[tuple[float, float]]) -> None:
    labels = [Label("recipe", x, y) for x, y in points]
    areas = [label.area(side) for label, side in zip(labels, place(labels, 640.0, 360.0), strict=True) if side]
    for index, (left, top, right, bottom) in enumerate(areas):
        assert left >= 0
        assert right <= 640
        for other in areas[:index]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


def test_a_label_avoids_a_line_and_gives_up_without_room() -> None:
    label = Label("name", 300.0, 100.0)
    assert place([label], 640.0, 360.0) == ["right"]
    assert place([label], 640.0, 360.0, [(0.0, 99.0, 640.0, 101.0)]) == ["above"]
    everywhere = [(0.0, 0.0, 640.0, 360.0)]
    assert place([label], 640.0, 360.0, everywhere) == [None]
    assert place([Label("name", 300.0, 100.0, important=True)], 640.0, 360.0, everywhere) == ["right"]
