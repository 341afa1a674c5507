"""Names of environments and methods; how runs are grouped is tested with the report as a whole."""

from __future__ import annotations

import pytest

from policypress.report.study.runs import Kind, method_of, short_name


@pytest.mark.parametrize(
    ("recipe", "kind", "expected"),
    [
        ("ptdq", "plain", ("ptdq", None)),
        ("qat", "qat", ("qat", None)),
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
