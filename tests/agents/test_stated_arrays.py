"""Statistics of any framework as an ``.npz``: both formulas, and what is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_checkpoints import MEAN, ROWS, VARIANCE, Mlp, elu

from policypress.agents.loading import load_agent
from policypress.agents.normalisers.stated_arrays import read_stated_arrays
from policypress.agents.stated_overrides import stated_overrides
from policypress.policy.importers.from_agent import policy_from_agent
from policypress_runtime.errors import AgentError, DamagedAgentError

DEVIATION = np.sqrt(VARIANCE)
FORMS: dict[str, tuple[dict[str, Any], Any]] = {
    "variance": ({"variance": VARIANCE, "epsilon": 1e-2, "clip": 2.0}, np.sqrt(VARIANCE + 1e-2)),
    "var": ({"var": VARIANCE}, DEVIATION),
    "std": ({"std": DEVIATION, "epsilon": np.array([0.1]), "clip": 2}, DEVIATION + 0.1),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_checkpoint_acts_behind_what_is_stated(tmp_path: Path, name: str) -> None:
    arrays, scale = FORMS[name]
    net, clip = Mlp(), arrays.get("clip", np.inf)
    layers = {
        f"a.{place}.{kind}": torch.from_numpy(values.astype(np.float32))
        for place, pair in enumerate(zip(net.weights, net.biases, strict=True))
        for kind, values in zip(("weight", "bias"), pair, strict=True)
    }
    torch.save(layers, tmp_path / "agent.pt")
    np.savez(tmp_path / "statistics.npz", mean=MEAN, **arrays)
    stated = stated_overrides(
        layers="a.0,a.1,a.2", activation="elu", squash="none", normalizer=str(tmp_path / "statistics.npz")
    )
    policy = policy_from_agent(load_agent(tmp_path / "agent.pt", overrides=stated))
    rows = ROWS.astype(np.float32)
    expected = net.run(np.clip((rows - MEAN) / scale, -clip, clip), elu)
    with torch.no_grad():
        np.testing.assert_allclose(policy(torch.from_numpy(rows)).numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"mean": MEAN},
        {"mean": MEAN, "variance": VARIANCE, "std": DEVIATION},
        {"mean": MEAN, "variance": VARIANCE, "eps": 1e-8},
        {"mean": MEAN, "variance": VARIANCE[:2]},
        {"mean": MEAN, "variance": -VARIANCE},
        {"mean": MEAN, "variance": VARIANCE * np.nan},
        {"mean": MEAN, "variance": VARIANCE, "clip": 0.0},
        {"mean": MEAN, "variance": VARIANCE, "epsilon": [1.0, 2.0]},
        {"mean": MEAN, "variance": VARIANCE, "epsilon": -1.0},
        {"mean": np.array(["a"]), "variance": np.array(["b"])},
    ],
)
def test_what_is_no_statistics_is_refused(tmp_path: Path, arrays: dict[str, Any]) -> None:
    np.savez(tmp_path / "statistics.npz", **arrays)
    with pytest.raises(DamagedAgentError):
        read_stated_arrays(tmp_path / "statistics.npz")


def test_another_file_is_told_how_to_be_saved(tmp_path: Path) -> None:
    (tmp_path / "statistics.npz").write_bytes(b"no zip")
    with pytest.raises(DamagedAgentError, match=r"np\.savez"):
        read_stated_arrays(tmp_path / "statistics.npz")
    torch.save({"a.weight": torch.zeros(3, 6)}, tmp_path / "agent.pt")
    (tmp_path / "statistics.pkl").write_bytes(b"\x80\x04N.")
    stated = stated_overrides(layers="a", squash="none", normalizer=str(tmp_path / "statistics.pkl"))
    with pytest.raises(AgentError, match=r"np\.savez"):
        load_agent(tmp_path / "agent.pt", overrides=stated)
