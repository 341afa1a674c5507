from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_study import AGENT, ENVIRONMENT, baseline, random_policy, variant

from policypress.engine.cells.cell import Cell, canonical_json
from policypress.records import EvaluationProtocol
from policypress.seeding import episode_seeds
from policypress_runtime.contract import EnvironmentSpec, WrapperSpec
from policypress_runtime.errors import StudyInputError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
MAPPINGS = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)


def test_keys_are_pinned() -> None:
    """A change here orphans every stored study: raise a method's version instead."""
    assert baseline().key == "fb56bcde1e969fc72287d553a61cfb44fd3099b7c9c9633f32a09b4c358302d8"
    assert variant("equalize > int8").key == "281617263f9c5fcb2e8fcab6761f63e93dc3398775b789e7d7458ae9d2f5a94a"
    assert random_policy().key == "2d34354bc5a95930a91cedd061803d5d095cfa8bf4889a19c900d8094c99a8a1"


@given(MAPPINGS, MAPPINGS)
def test_key_does_not_depend_on_the_order_of_inputs(inputs: dict, kwargs: dict) -> None:
    forward = replace(variant("int8"), inputs=inputs, environment=EnvironmentSpec("E-v0", tuple(kwargs.items())))
    turned = replace(
        variant("int8"),
        inputs=dict(reversed(inputs.items())),
        environment=EnvironmentSpec("E-v0", tuple(reversed(kwargs.items()))),
    )
    assert forward.key == turned.key


@given(MAPPINGS)
def test_json_form_gives_the_same_cell_and_key(inputs: dict) -> None:
    cell = replace(variant("prune(l2,0.3) > int8"), inputs=inputs)
    again = Cell.from_json(json.loads(json.dumps(cell.to_json())))
    assert again == cell
    assert again.key == cell.key


def test_everything_that_decides_the_result_changes_the_key() -> None:
    cell = variant("int8")
    others = [
        replace(cell, agent_sha256="0" * 64),
        replace(cell, recipe_hash="0" * 64),
        replace(cell, protocol=EvaluationProtocol(13)),
        replace(cell, protocol=EvaluationProtocol(12, seed=1)),
        replace(cell, protocol=EvaluationProtocol(12, purpose="certification")),
        replace(cell, method_versions={"int8": 2, "evaluation": 1}),
        replace(cell, inputs={"calibration_seed": 1}),
        replace(cell, environment=EnvironmentSpec("Synthetic-v1")),
        replace(cell, environment=replace(ENVIRONMENT, wrappers=(WrapperSpec("TimeFeature"),))),
        baseline(),
        random_policy(),
    ]
    assert len({cell.key, *(other.key for other in others)}) == len(others) + 1


def test_history_and_wording_do_not_change_the_key() -> None:
    cell = variant("int8")
    assert replace(cell, environment=replace(ENVIRONMENT, trained_id="Synthetic-v-1")).key == cell.key
    assert replace(cell, recipe="int8()", recipe_json={"version": 7}).key == cell.key


def test_seeds_are_the_protocols() -> None:
    assert variant("int8").seeds() == episode_seeds(0, "evaluation", 12)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "baseline"},
        {"kind": "random", "agent_sha256": AGENT},
        {"kind": "variant", "agent_sha256": AGENT},
        {"kind": "baseline", "agent_sha256": AGENT, "recipe": "int8"},
        {"kind": "baseline", "agent_sha256": AGENT, "environment": None},
        {"kind": "agent", "agent_sha256": AGENT},
        {"kind": "cost", "agent_sha256": AGENT},
        {"kind": "cost", "protocol": EvaluationProtocol(0)},
    ],
)
def test_contradictions_are_refused(fields: dict) -> None:
    with pytest.raises(StudyInputError):
        Cell(**{"protocol": EvaluationProtocol(3), "environment": ENVIRONMENT, **fields})


def test_costs_of_a_recipe_and_of_the_baseline_have_their_own_keys_under_each_runtime() -> None:
    stated = {"kind": "cost", "environment": ENVIRONMENT, "agent_sha256": AGENT}
    cells = [
        Cell(**stated, protocol=EvaluationProtocol(0, runtime=runtime), recipe=recipe, recipe_hash=recipe)
        for runtime in ("onnxruntime", "native")
        for recipe in ("none", "int8")
    ]
    cells.append(Cell("baseline", EvaluationProtocol(0), ENVIRONMENT, AGENT))
    assert len({cell.key for cell in cells}) == 5
    assert [Cell.from_json(cell.to_json()) for cell in cells] == cells


def test_a_cell_without_environment_is_built_only() -> None:
    cell = Cell("baseline", EvaluationProtocol(0), agent_sha256=AGENT)
    assert cell.seeds() == ()
    assert Cell.from_json(cell.to_json()).key == cell.key


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object(), b"x"])
def test_what_has_no_json_form_is_refused(value: object) -> None:
    with pytest.raises(StudyInputError, match="no stable key"):
        canonical_json({"x": value})


@pytest.mark.parametrize("data", [{}, {"kind": "baseline"}, {**baseline().to_json(), "colour": "red"}])
def test_what_is_no_cell_is_refused(data: dict) -> None:
    with pytest.raises(StudyInputError, match="JSON of a cell"):
        Cell.from_json(data)


def test_masks_are_part_of_a_key_only_where_they_are() -> None:
    plain = Cell("random", EvaluationProtocol(3, runtime=""), EnvironmentSpec("CartPole-v1"))
    masked = Cell("random", EvaluationProtocol(3, runtime="", masked=True), EnvironmentSpec("CartPole-v1"))
    assert "masked" not in plain.identity()["protocol"]
    assert masked.key != plain.key
    assert Cell.from_json(masked.to_json()) == masked
