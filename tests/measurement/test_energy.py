from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress.measurement.costs import energy
from policypress.measurement.costs.cpu_time import Window
from policypress.measurement.costs.energy import IdleWindow, MeteredWindow
from policypress.records import Measurement
from policypress_runtime.errors import MeterError, StudyInputError

MACHINE = {"cpu": "c"}


class Counter:
    """A meter that shows recorded joules."""

    name = "rapl"
    covers = "processor"
    update_s = 1e-3

    def __init__(self, values: Sequence[float | str], resolution_j: float = 1e-4) -> None:
        self.values = list(values)
        self.resolution_j = resolution_j

    def energy_j(self) -> float:
        value = self.values.pop(0)
        if isinstance(value, str):
            raise MeterError(value)
        return value

    def described(self) -> dict[str, object]:
        return {"zones": ["intel-rapl:0 package-0"]}


def windows(*joules: float, wall_s: float = 0.1, actions: int = 1000) -> list[MeteredWindow]:
    return [MeteredWindow(Window(actions, wall_s, wall_s), value) for value in joules]


def idle(*watts: float) -> list[IdleWindow]:
    return [IdleWindow(0.2, 0.2 * value) for value in watts]


def test_a_window_is_the_difference_of_two_readings() -> None:
    counted = energy.metered(Counter([3.0, 5.5]), lambda: Window(10, 0.1, 0.1))
    assert counted.energy_j == 2.5
    slept: list[float] = []
    rest = energy.idle_for(Counter([1.0, 1.5]), 0.2, slept.append)
    assert (slept, rest.energy_j) == ([0.2], 0.5)
    with pytest.raises(MeterError):
        energy.metered(Counter([1.0, "vanished"]), lambda: Window(10, 0.1, 0.1))


def test_energy_is_what_is_above_idle() -> None:
    found = energy.measured(Counter([]), windows(2.0, 2.1), idle(10, 10), {"runtime": "r"}, MACHINE)
    assert isinstance(found, Measurement)
    assert found.samples == pytest.approx((1.0e-3, 1.1e-3))
    assert (found.quantity, found.unit, found.source) == ("energy_per_action", "J", "measured")
    said = found.protocol
    assert (said["meter"], said["resolution_j"], said["runtime"]) == ("rapl", 1e-4, "r")
    assert (said["idle_window_s"], said["idle_power_w"]) == pytest.approx((0.4, 10.0))


@pytest.mark.parametrize(
    ("counter", "joules", "watts", "words"),
    [
        (Counter([]), (0.0, 0.0), (0, 0), "stood still during windows of 0.1 s"),
        (Counter([]), (1.0, 1.0), (10, 10), "0 J above idle"),
        (Counter([], resolution_j=36.0), (20.0, 20.0), (10, 10), "36 J can be told apart"),
        (Counter([]), (1.3, 1.3), (5, 15), "0.3 J above idle"),
        (Counter([]), (0.5, 0.6), (10, 10), "above idle"),
    ],
    ids=["stands still", "idle alone", "coarse", "restless machine", "less than idle"],
)
def test_what_cannot_be_told_apart_is_absent_with_its_reason(
    counter: Counter, joules: tuple[float, ...], watts: tuple[float, ...], words: str
) -> None:
    found = energy.measured(counter, windows(*joules), idle(*watts), {}, MACHINE)
    assert isinstance(found, str)
    assert found.startswith("below resolution: ")
    assert words in found


def test_a_counter_that_is_refreshed_too_rarely_is_below_resolution() -> None:
    slow = Counter([])
    slow.update_s = 0.1
    assert isinstance(energy.measured(slow, windows(2.0, 2.0), idle(10), {}, MACHINE), str)
    longer = windows(40.0, 40.0, wall_s=2.0)
    assert isinstance(energy.measured(slow, longer, idle(10), {}, MACHINE), Measurement)


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=6),
    st.lists(st.floats(0, 100), min_size=1, max_size=4),
    st.floats(1e-6, 40),
)
def test_a_measured_energy_is_never_zero_in_the_middle(
    joules: list[float], watts: list[float], resolution_j: float
) -> None:
    found = energy.measured(Counter([], resolution_j), windows(*joules), idle(*watts), {}, MACHINE)
    if isinstance(found, Measurement):
        assert sorted(found.samples)[len(joules) // 2] > 0
    else:
        assert "below resolution" in found


CPU = Measurement("cpu_per_action", "s", (2e-6, 3e-6), {"runtime": "r", "clock": "x", "windows_s": [1]}, MACHINE)


def test_the_model_says_that_it_is_one_and_what_it_assumes() -> None:
    found = energy.modelled(CPU, None, {"rapl": "no zone"})
    assert found.samples == pytest.approx((24e-6, 36e-6))
    assert (found.source, found.unit, found.quantity) == ("modelled", "J", "energy_per_action")
    assert (found.protocol["meter"], found.protocol["watts_per_core"]) == ("model", 12.0)
    assert "Lannelongue" in found.protocol["watts_source"]
    assert found.protocol["not_measured"] == {"rapl": "no zone"}
    assert "clock" not in found.protocol


def test_the_user_can_state_the_watts() -> None:
    found = energy.modelled(CPU, 5.0, {})
    assert found.samples == pytest.approx((1e-5, 1.5e-5))
    assert found.protocol["watts_source"] == "stated by the user"
    for watts in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(StudyInputError, match="power of a busy core"):
            energy.modelled(CPU, watts, {})


def test_an_episode_takes_its_length_times_an_action() -> None:
    found = energy.per_episode(energy.modelled(CPU, 10.0, {}), [100, 200])
    assert found.samples == pytest.approx((2e-5 * 150, 3e-5 * 150))
    assert (found.quantity, found.source, found.protocol["mean_episode_length"]) == (
        "energy_per_episode",
        "modelled",
        150.0,
    )
    assert found.protocol["watts_per_core"] == 10.0
