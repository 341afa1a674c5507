from __future__ import annotations

import numpy as np

from policypress.environments.identifiers import resolve
from policypress.environments.variants import adds_time_feature, candidates, distance, has_time_feature
from policypress_runtime.contract import Box, EnvironmentSpec, WrapperSpec, box


def vector(size: int, timed: bool = False) -> Box:
    low, high = np.full(size, -np.inf), np.full(size, np.inf)
    if timed:
        low[-1], high[-1] = 0.0, 1.0
    return box((size,), "float32", low, high)


def test_nearest_version_and_fewest_changes_first() -> None:
    spec = EnvironmentSpec("Ant-v4")
    found = list(candidates(spec, vector(111)))
    assert spec not in found
    assert len(set(found)) == len(found)
    versions = [variant.id for variant in found]
    assert versions == sorted(versions)
    assert found[0].id == "Ant-v4"
    assert any(dict(variant.kwargs) == {"use_contact_forces": True} for variant in found)


def test_a_users_module_has_no_known_variants() -> None:
    assert list(candidates(EnvironmentSpec("package:Ant-v4"), vector(3))) == []


def test_a_bound_of_zero_and_one_tells_a_time_feature() -> None:
    assert has_time_feature(vector(5, timed=True))
    assert not has_time_feature(vector(5))
    assert not has_time_feature(box((4,), "float32", 0, 1))
    spec = EnvironmentSpec("Hopper-v4")
    assert all(adds_time_feature(spec, variant) for variant in candidates(spec, vector(12, timed=True)))


def test_atari_without_wrappers_gets_the_usual_ones() -> None:
    spec = EnvironmentSpec(resolve("PongNoFrameskip-v4").id)
    frames = box((4, 84, 84), "uint8", 0, 255)
    stack = WrapperSpec("frame_stack", (("n_stack", 4),))
    assert any(variant.wrappers == (WrapperSpec("AtariWrapper"), stack) for variant in candidates(spec, frames))
    named = EnvironmentSpec("PongNoFrameskip-v4", wrappers=(WrapperSpec("AtariWrapper"),))
    assert any(variant.wrappers == (WrapperSpec("AtariWrapper"), stack) for variant in candidates(named, frames))


def test_distance_counts_versions_first() -> None:
    spec = EnvironmentSpec("Ant-v4")
    near = EnvironmentSpec("Ant-v4", kwargs=(("a", 1), ("b", [2])))
    far = EnvironmentSpec("Ant-v5")
    assert distance(spec, spec) == (0, 0)
    assert distance(spec, near) == (0, 2)
    assert distance(spec, near) < distance(spec, far)
