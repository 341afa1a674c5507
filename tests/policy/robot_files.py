"""Real robots' ONNX policies, in a folder beside the repository; tests that need it skip where it is absent."""

from __future__ import annotations

from pathlib import Path

import pytest

ROBOTS = Path(__file__).resolve().parents[3] / "shared" / "robots"
# Parallel workers must collect alike, with the folder and without it, so the names stand here.
FEED_FORWARD = (
    "berkeley_humanoid_lite/policy_biped_50hz.onnx",
    "berkeley_humanoid_lite/policy_humanoid_legs.onnx",
    "legged_ros2_go2_pair/policy.onnx",
    "made_here/rsl_rl_5.5.1_mlp/policy.onnx",
    "mjlab_microban_metadata/policy.onnx",
    "playground_apollo/apollo_policy.onnx",
    "playground_go1/go1_policy.onnx",
)
# And the inputs that carry their memory.
RECURRENT = {
    "made_here/rsl_rl_5.5.1_gru/policy.onnx": "'h_in'",
    "made_here/rsl_rl_5.5.1_lstm/policy.onnx": "'h_in', 'c_in'",
}


def robots_folder() -> Path:
    """The folder, in which no ONNX file is forgotten above; the test is skipped without it."""
    if not ROBOTS.is_dir():
        pytest.skip("the folder of real robots' policies beside the repository is absent")
    assert {*FEED_FORWARD, *RECURRENT} == {str(path.relative_to(ROBOTS)) for path in ROBOTS.rglob("*.onnx")}
    return ROBOTS
