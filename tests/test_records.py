"""Rows of results: JSON and back, and protocols that name their episodes."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policypress.records import (
    RECORD_VERSION,
    ArtifactRecord,
    EpisodeRecord,
    EvaluationProtocol,
    Measurement,
)
from policypress.seeding import episode_seeds

FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text("ab/ é", max_size=6)
# Plain values: the records are made in the test, since run-time type checks draw numbers of their own.
FIELDS = st.fixed_dictionaries(
    {
        **dict.fromkeys(("recipe", "recipe_hash", "path", "sha256"), TEXT),
        **dict.fromkeys(("file_bytes", "packed_bytes", "parameters", "macs"), st.integers(0)),
        **dict.fromkeys(("channel_ratio", "parameter_ratio", "parity_max_error", "build_s"), FINITE),
        "action_error": st.none() | FINITE,
        "notices": st.lists(TEXT, max_size=3).map(tuple),
    }
)


@given(FIELDS)
def test_artifact_record_survives_json(fields: dict[str, Any]) -> None:
    record = ArtifactRecord(**fields)
    assert ArtifactRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    assert record.version == RECORD_VERSION


@given(episodes=st.integers(0, 30), seed=st.integers(-100, 100), purpose=TEXT)
def test_protocol_names_its_episodes(episodes: int, seed: int, purpose: str) -> None:
    protocol = EvaluationProtocol(episodes, seed, purpose, max_steps=7)
    assert protocol.seeds() == episode_seeds(seed, purpose, episodes)
    assert json.loads(json.dumps(protocol.to_json())) == {
        "episodes": episodes,
        "seed": seed,
        "purpose": purpose,
        "max_steps": 7,
        "runtime": "onnxruntime",
        "version": RECORD_VERSION,
    }


@pytest.mark.parametrize(
    "row",
    [
        EpisodeRecord(1, 2.0, 3, "terminated", 0.1),
        Measurement("latency", "s", (1.0,), {}, {}),
        EvaluationProtocol(3),
    ],
    ids=lambda row: type(row).__name__,
)
def test_rows_are_frozen_and_compare_by_value(row: object) -> None:
    assert dataclasses.is_dataclass(row)
    assert not isinstance(row, type)
    assert dataclasses.replace(row) == row
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.version = 5  # type: ignore[attr-defined]


def test_a_measurement_is_measured_unless_it_says_otherwise() -> None:
    assert Measurement("energy", "J", (), {}, {}).source == "measured"
    assert Measurement("energy", "J", (), {}, {}, source="modelled").source == "modelled"
