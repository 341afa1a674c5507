from __future__ import annotations

from policypress.measurement.costs.energy_meters import ALL_METERS, PROCESSOR_METERS, Meter, find_meter
from policypress.measurement.costs.nvml import Nvml
from policypress_runtime.errors import MeterError


class Fake:
    name = "rapl"
    covers = "processor"
    resolution_j = 1e-6
    update_s = 1e-3

    def energy_j(self) -> float:
        return 0.0

    def described(self) -> dict[str, object]:
        return {}


def denied() -> Meter:
    raise MeterError("The counters may be read by root only.", got="permission denied", hint="chmod")


def test_the_first_meter_that_opens_is_taken_and_the_others_say_why_not() -> None:
    fake = Fake()
    assert find_meter({"a": denied, "b": lambda: fake, "c": denied}) == (
        fake,
        {"a": "The counters may be read by root only: permission denied"},
    )
    assert find_meter({}) == (None, {})


def test_graphics_processors_do_not_count_what_the_processor_uses() -> None:
    assert Nvml not in PROCESSOR_METERS.values()
    assert set(ALL_METERS) == {"rapl", "nvml", "battery"}


def test_every_meter_of_this_machine_opens_or_says_why_not() -> None:
    for name, opened in ALL_METERS.items():
        meter, reasons = find_meter({name: opened})
        assert (meter is None) == (name in reasons)
        if meter is not None:
            assert meter.energy_j() >= 0
