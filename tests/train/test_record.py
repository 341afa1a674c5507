"""The record's JSON, and the story that becomes it."""

from __future__ import annotations

import json
import time

from policypress_train.checkpoints.versions import versions
from policypress_train.record import Episodes, TrainingEvaluation, TrainingMemory, TrainingRecord
from policypress_train.training_log import TrainingLog


def test_json_and_back() -> None:
    episodes = Episodes()
    episodes.add(10, 1.5, 10, 0.25, 1.0, 0.9)
    record = TrainingRecord(
        spec={"algorithm": "dqn"},
        spec_hash="x",
        source="a test",
        steps=10,
        episodes=episodes,
        evaluations=(TrainingEvaluation(10, (1, 2), (3.0, 5.0), (3, 5)),),
        wall_s=1.0,
        cpu_s=0.9,
        threads=1,
        memory=TrainingMemory(7, 6, 5, 4, 3, 2, 1),
        versions=versions(),
        resumed=((5, True),),
    )
    assert TrainingRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    assert record.evaluations[0].mean_return == 4.0


def test_versions_name_what_learned() -> None:
    assert {"python", "torch", "stable-baselines3", "gymnasium"} <= set(versions())


def test_the_clocks_go_on_after_a_resumption() -> None:
    log = TrainingLog()
    assert log.wall_s() == 0.0
    log.start()
    time.sleep(0.02)
    log.episode_ended(7, {"r": 2.0, "l": 7}, 0.01)
    log.resumed.append((3, True))
    stored = json.loads(json.dumps(log.to_json()))
    again = TrainingLog.from_json(stored)
    assert again.wall_s() == stored["wall_s"] >= 0.02
    assert again.episodes == log.episodes
    assert again.resumed == [(3, True)]
    again.start()
    assert again.wall_s() >= stored["wall_s"]
    assert again.episodes.wall_s[0] <= again.wall_s() + 0.0005  # stored in milliseconds
