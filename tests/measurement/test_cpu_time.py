from __future__ import annotations

import pytest

from policypress.measurement.costs.cpu_time import Window, act_for, cpu_per_action


def test_a_window_lasts_as_long_as_asked_and_counts_every_action() -> None:
    seen: list[int] = []
    window = act_for(seen.append, [0, 1, 2], 0.02)
    assert window.actions == len(seen)
    assert window.cpu_s >= 0.02
    assert window.wall_s >= 0.9 * window.cpu_s
    assert window.cpu_per_action_s == window.cpu_s / len(seen)
    assert seen[:4] == [0, 1, 2, 0]


def test_more_work_takes_more_cpu_time() -> None:
    def work(count: int) -> float:
        return act_for(lambda _: sum(range(count)), [None], 0.05).cpu_per_action_s

    assert 3 < work(8000) / work(1000) < 20


def test_the_measurement_keeps_every_window() -> None:
    found = cpu_per_action([Window(100, 0.2, 0.3), Window(50, 0.2, 0.2)], {"runtime": "r"}, {"cpu": "c"}, seed=3)
    assert found.samples == pytest.approx((0.002, 0.004))
    assert (found.quantity, found.unit, found.source, found.seed) == ("cpu_per_action", "s", "measured", 3)
    assert found.protocol == {"runtime": "r", "clock": "process_time", "windows_s": [0.2, 0.2]}
