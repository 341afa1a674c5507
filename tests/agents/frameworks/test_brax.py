"""Brax's pickles of parameters, read without JAX or Brax: their classes stand in this file under their names."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from small_checkpoints import MEAN, ROWS, VARIANCE, Mlp, elu

from policypress.agents.loading import load_agent
from policypress.agents.stated_overrides import stated_overrides
from policypress.policy.importers.from_agent import policy_from_agent
from policypress_runtime.errors import AgentError, UndeterminedAgentError, UnsafeAgentError, UnsupportedAgentError

PLACE = "brax.training.acme.running_statistics"


@pytest.fixture
def statistics_class() -> Iterator[type]:
    """A class that is pickled by Brax's name."""
    names = [".".join(PLACE.split(".")[: place + 1]) for place in range(4)]
    made = {name: ModuleType(name) for name in names}
    kind = type("RunningStatisticsState", (), {"__module__": PLACE})
    made[PLACE].RunningStatisticsState = kind  # type: ignore[attr-defined]
    sys.modules.update(made)
    yield kind
    for name in names:
        del sys.modules[name]


def _content(kind: type, *, privileged: bool = False, **more: Any) -> tuple[Any, ...]:
    net = Mlp(outputs=6)
    statistics = kind()
    mean, std = MEAN.astype(np.float32), np.sqrt(VARIANCE).astype(np.float32)
    if privileged:
        statistics.__dict__.update(
            mean={"state": mean, "privileged_state": np.zeros(40)}, std={"state": std, "privileged_state": np.ones(40)}
        )
    else:
        statistics.__dict__.update(mean=mean, std=std, count=np.float32(3))
    policy = {
        f"hidden_{place}": {"kernel": weight.T.astype(np.float32), "bias": bias.astype(np.float32)}
        for place, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True))
    }
    return statistics, {"params": {**policy, **more}}, {"params": {}}


def _expected(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.tanh(Mlp(outputs=6).run((x - MEAN) / np.sqrt(VARIANCE), elu)[:, :3])


@pytest.mark.parametrize("privileged", [False, True])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_the_action_is_tanh_of_the_mean(
    privileged: bool, protocol: int, statistics_class: type, tmp_path: Path
) -> None:
    path = tmp_path / "params"
    path.write_bytes(pickle.dumps(_content(statistics_class, privileged=privileged), protocol=protocol))
    bundle = load_agent(path, overrides=stated_overrides(activation="elu"))
    got = policy_from_agent(bundle)(torch.tensor(ROWS, dtype=torch.float32)).detach().numpy()
    assert np.abs(got - _expected(ROWS)).max() < 2e-5
    assert any("normalize_observations" in notice for notice in bundle.notices)
    with pytest.raises(UndeterminedAgentError, match="--activation"):
        load_agent(path)
    plain = load_agent(path, overrides=stated_overrides(activation="elu", normalizer="none"))
    assert not plain.normaliser


def test_what_is_no_plain_mlp_is_refused(statistics_class: type, tmp_path: Path) -> None:
    path = tmp_path / "params"
    path.write_bytes(pickle.dumps(_content(statistics_class, LayerNorm_0={"scale": np.ones(8)})))
    with pytest.raises(UnsupportedAgentError, match="LayerNorm_0"):
        load_agent(path, overrides=stated_overrides(activation="elu"))


class Runs:
    """Unpickling it creates a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def test_code_in_it_never_runs(statistics_class: type, tmp_path: Path) -> None:
    path = tmp_path / "params"
    path.write_bytes(pickle.dumps((*_content(statistics_class), Runs(tmp_path / "ran"))))
    with pytest.raises(UnsafeAgentError, match="mkdir"):
        load_agent(path, overrides=stated_overrides(activation="elu"))
    assert not (tmp_path / "ran").exists()


def test_every_truncation_is_an_error(statistics_class: type, tmp_path: Path) -> None:
    path = tmp_path / "params"
    whole = pickle.dumps(_content(statistics_class))
    for end in range(1, len(whole) - 1, len(whole) // 30):
        path.write_bytes(whole[:end])
        with pytest.raises(AgentError):
            load_agent(path, overrides=stated_overrides(activation="elu"))


@pytest.mark.shared
def test_a_file_that_brax_wrote() -> None:
    path = Path(__file__).resolve().parents[4] / "shared" / "robots" / "made_here" / "brax_0.14.2" / "params_legacy"
    if not path.is_file():
        pytest.skip("the folder of checkpoints beside the repository is absent")
    policy = policy_from_agent(load_agent(path, overrides=stated_overrides(activation="silu")))
    with torch.no_grad():
        assert policy(policy.example(2)).shape == (2, 12)
    assert policy.folded()[:2] == ("normalise", "squash")
