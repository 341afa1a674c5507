"""Methods are named and drawn in one way."""

from __future__ import annotations

from policypress.report.studies.wording import algorithm_name, listed
from policypress_lu2024.cells.methods import PALETTE, look, ordered

PAPER = ("ptdq", "ptsq", "qat", "l1", "l2")


def test_the_papers_methods_differ_in_colour_and_no_two_share_shape_and_dash() -> None:
    assert len({look(method).light for method in PAPER}) == len(PAPER)
    assert len({look(method).dark for method in PAPER}) == len(PAPER)
    assert len({(look(m).token, look(m).shape, look(m).dash) for m in (*PAPER, "sparse-l1", "sparse-l2", "x")}) == 8


def test_every_look_has_its_colour_on_both_grounds() -> None:
    assert set(PALETTE.tokens()) >= {
        look(method).token for method in (*PAPER, "baseline", "sparse-l2", "distill(dagger)")
    }


def test_what_is_none_of_the_papers_goes_by_its_own_name() -> None:
    assert look("equalize > int8").label == "equalize > int8"


def test_methods_come_in_the_papers_order_and_then_by_name() -> None:
    assert ordered(["zeta", "l2", "alpha", "ptdq", "l2"]) == ("ptdq", "l2", "alpha", "zeta")


def test_algorithms_are_written_as_the_field_writes_them() -> None:
    assert [algorithm_name(name) for name in ("ppo", "td3", "onnx")] == ["PPO", "TD3", "onnx"]


def test_enumerations() -> None:
    assert listed([]) == ""
    assert listed(["a", "b"]) == "a and b"
