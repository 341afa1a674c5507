"""Names of environments and methods; how runs are grouped is tested with the report as a whole."""

from __future__ import annotations

import pytest

from policypress.report.studies.runs import Kind, _kind, _update
from policypress.report.studies.wording import short_name
from policypress_lu2024.cells.runs import method_of


@pytest.mark.parametrize(
    ("recipe", "kind", "expected"),
    [
        ("ptdq", "plain", ("ptdq", None)),
        ("qat", "qat", ("qat", None)),
        ("qat", "qat-raw", ("qat-raw", None)),
        ("ptdq", "qat-raw", ("qat-raw-ptdq", None)),
        ("prune(l2, 0.7)", "plain", ("l2", 0.7)),
        ("prune(l2, 0.7)", "sparse", ("sparse-l2", 0.7)),
        ("prune(l1, 0.05, scope=global)", "plain", ("prune(l1, 0.05, scope=global)", None)),
        ("prune(l1, 0.5) > int8", "plain", ("prune(l1, 0.5) > int8", None)),
        ("ptdq", "qat", ("qat-ptdq", None)),
    ],
)
def test_methods_are_those_of_the_paper(recipe: str, kind: Kind, expected: tuple[str, float | None]) -> None:
    assert method_of(recipe, kind) == expected


def test_environments_are_named_without_version() -> None:
    assert [short_name(text) for text in ("Ant-v4", "Ant-v5", "HumanoidStandup-v4", "dm_control/walker-v0")] == [
        "Ant",
        "Ant",
        "HumanoidStandup",
        "walker",
    ]


def test_forms_of_quantization_aware_training_are_kinds_of_their_own() -> None:
    raw = {"weight_bits": 8, "observation_scaling": False, "per_channel": False}
    assert _kind({"qat": {"weight_bits": 8, "observation_scaling": True}}) == "qat"
    assert _kind({"qat": raw}) == "qat-raw"
    assert _kind({"qat": {**raw, "weight_bits": 4}}) == "qat-w4-unscaled-per-tensor"
    assert [_kind({"sparse": {}}), _kind({"prune": 0.5}), _kind({})] == ["sparse", "gradual", "plain"]


def test_what_trained_an_agent_is_read_from_its_record() -> None:
    assert _update("ppo", {"kernels": "avx2", "spec": {"update": "native"}}) == "the native update with avx2 kernels"
    assert _update("ppo", {"spec": {"update": "fast"}}) == _update("sac", {"spec": {"update": "stock"}})
    assert _update("sac", {"spec": {"update": "auto"}}) == "the fast update"
    assert _update("sac", None) == ""
