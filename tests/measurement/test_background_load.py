"""How busy background_load are: this process's own work does not count, somebody else's does."""

from __future__ import annotations

import pytest

from policypress.measurement.costs import background_load
from policypress.measurement.costs.background_load import BackgroundLoad


class Clocks:
    """Clocks that a test turns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machine_s = self.own_s = self.wall_s = 0.0
        monkeypatch.setattr(background_load, "_machine_busy_s", lambda: self.machine_s)
        monkeypatch.setattr(background_load, "_own_busy_s", lambda: self.own_s)
        monkeypatch.setattr(background_load.time, "monotonic", lambda: self.wall_s)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


def counting(clocks: Clocks) -> BackgroundLoad:
    return BackgroundLoad(clocks.machine_s, clocks.own_s, clocks.wall_s)


def test_own_work_does_not_count(clocks: Clocks) -> None:
    told = counting(clocks)
    clocks.machine_s, clocks.own_s, clocks.wall_s = 12.0, 9.0, 10.0
    assert told.busy_cores() == pytest.approx(0.3)


def test_steps_of_the_clocks_are_no_negative_work(clocks: Clocks) -> None:
    told = counting(clocks)
    clocks.machine_s, clocks.own_s, clocks.wall_s = 0.99, 1.0, 1.0
    assert told.busy_cores() == 0.0


def test_no_time_is_no_division(clocks: Clocks) -> None:
    assert counting(clocks).busy_cores() == 0.0


def test_the_real_clocks_run_forward() -> None:
    before = background_load._machine_busy_s(), background_load._own_busy_s()
    total = sum(range(2_000_000))
    after = background_load._machine_busy_s(), background_load._own_busy_s()
    assert total
    assert after[0] >= before[0]
    assert after[1] > before[1]
