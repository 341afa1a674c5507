"""Files of observations and actions: what is read, and what proves too little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from policypress.policy.pairs import compare, read_pairs
from policypress.policy.policy import Policy
from policypress_runtime.contract import Box, DictSpace, Discrete, MultiBinary, MultiDiscrete, Space, box
from policypress_runtime.errors import ObservationError

VECTOR = box((3,), "float32", -np.inf, np.inf)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype(np.float32)
WEIGHT = torch.from_numpy(RNG.normal(size=(4, 3)).astype(np.float32))


class Net(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x @ WEIGHT.T


def policy_for(actions: Space) -> Policy:
    return Policy.from_module(Net(), VECTOR, actions)


SCORES = X @ WEIGHT.numpy().T


def file(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "pairs.npz", **arrays)
    return folder / "pairs.npz"


SOFTMAX = np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)


@pytest.mark.parametrize(
    ("space", "actions"),
    [
        (box((4,), "float32", -1.0, 1.0), SCORES),
        (box((4,), "float32", -1.0, 1.0), np.clip(SCORES, -1, 1)),
        (box((2, 2), "float32", -np.inf, np.inf), SCORES.reshape(-1, 2, 2)),
        (Discrete(4), SCORES.argmax(1)),
        (Discrete(4, 2), SCORES.argmax(1)[:, None] + 2),
        (Discrete(4), SCORES.argmax(1).astype(float)),
        (Discrete(4), SCORES),
        (Discrete(4), SOFTMAX),
        (Discrete(4), np.log(SOFTMAX)),
        (MultiDiscrete((2, 2)), np.stack([SCORES[:, :2].argmax(1), SCORES[:, 2:].argmax(1)], 1)),
        (MultiDiscrete((2, 2)), SCORES),
        (MultiBinary(4), SCORES > 0),
        (MultiBinary(4), SCORES),
        (MultiBinary(4), 1 / (1 + np.exp(-SCORES))),
    ],
)
def test_every_kind_of_action(tmp_path: Path, space: Space, actions: Any) -> None:
    policy = policy_for(space)
    assert compare(policy, read_pairs(file(tmp_path, obs=X, action=actions), policy)).same
    moved = actions[::-1]
    assert not compare(policy, read_pairs(file(tmp_path, obs=X, action=moved), policy)).same


def test_dict_observations_and_image_layouts(tmp_path: Path) -> None:
    class Both(nn.Module):
        def forward(self, given: dict[str, Tensor]) -> Tensor:
            return given["a"] @ WEIGHT.T + given["image"].float().mean((2, 3)).sum(1, keepdim=True) / 100

    space = DictSpace((("a", VECTOR), ("image", Box((2, 4, 5), "uint8", (0.0,), (255.0,)))))
    policy = Policy.from_module(Both(), space, box((4,), "float32", -np.inf, np.inf))
    image = RNG.integers(0, 256, (60, 2, 4, 5), dtype=np.uint8)
    with torch.no_grad():
        actions = Both()({"a": torch.from_numpy(X), "image": torch.from_numpy(image)}).numpy()
    for pictures in (image, np.moveaxis(image, 1, -1)):
        for arrays in ({"observations.a": X, "observations.image": pictures}, {"a": X, "image": pictures}):
            pairs = read_pairs(file(tmp_path, actions=actions, **arrays), policy)
            assert compare(policy, pairs).same
    with pytest.raises(ObservationError, match="lacks an array"):
        read_pairs(file(tmp_path, actions=actions, a=X), policy)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"observations": X}, "lacks the actions"),
        ({"actions": SCORES}, "lacks an array"),
        ({"observations": X, "actions": SCORES[:, :3]}, "do not fit"),
        ({"observations": X, "actions": SCORES[:-1]}, "not numbers for every observation"),
        ({"observations": X[:, :2], "actions": SCORES}, "do not fit the policy"),
        ({"observations": X, "actions": np.full_like(SCORES, np.nan)}, "not all finite"),
        ({"observations": X, "actions": SCORES.astype(str)}, "not numbers"),
        ({"observations": X[:31], "actions": SCORES[:31]}, "prove too little"),
        ({"observations": np.tile(X[:20], (3, 1)), "actions": np.tile(SCORES[:20], (3, 1))}, "prove too little"),
        ({"observations": 1e4 * X, "actions": np.sign(SCORES)}, "prove too little"),
        ({"observations": X, "actions": np.zeros_like(SCORES)}, "prove too little"),
        ({"observations": X.astype(object), "actions": SCORES}, "without pickled objects"),
    ],
)
def test_files_that_do_not_do(tmp_path: Path, arrays: dict[str, Any], expected: str) -> None:
    policy = policy_for(box((4,), "float32", -1.0, 1.0))
    with pytest.raises(ObservationError, match=expected):
        read_pairs(file(tmp_path, **arrays), policy)


@pytest.mark.parametrize("actions", [np.zeros(60, int), np.full(60, 0.5), SCORES[:, :3]])
def test_choices_that_do_not_do(tmp_path: Path, actions: Any) -> None:
    with pytest.raises(ObservationError, match=r"prove too little|do not fit"):
        read_pairs(file(tmp_path, observations=X, actions=actions), policy_for(Discrete(4)))


def test_a_choice_outside_the_space_differs(tmp_path: Path) -> None:
    policy = policy_for(Discrete(4))
    wrong = SCORES.argmax(1)
    wrong[7] = 9
    found = compare(policy, read_pairs(file(tmp_path, observations=X, actions=wrong), policy))
    assert (found.same, found.row, found.differing, found.expected) == (False, 7, 1, "choice 9")


def test_no_file(tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 no zip")
    for name in ("absent.npz", "broken.npz"):
        with pytest.raises(ObservationError, match="cannot be read"):
            read_pairs(tmp_path / name, policy_for(Discrete(4)))
