"""A training starts from the networks of a trained agent, read as data."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from policypress_runtime.errors import DamagedAgentError, TrainingInputError
from policypress_train.algorithms import ALGORITHMS
from policypress_train.fine_tuning import load_networks
from policypress_train.qat.config import QatConfig
from policypress_train.sparse.strip import strip
from quantized_agents import NAMES, trained, untrained


@pytest.mark.parametrize("name", NAMES)
def test_quantization_aware_fine_tuning_starts_where_fp32_ended(name: str, tmp_path: Path) -> None:
    teacher = untrained(name).learn(80)
    teacher.save(tmp_path / "agent.zip")
    model = untrained(name, QatConfig())
    load_networks(model, tmp_path / "agent.zip")
    expected = teacher.policy.state_dict()
    got = model.policy.state_dict()
    assert all(torch.equal(got[key], expected[key]) for key in expected)
    assert all(float(got[key].sum()) == 0.0 for key in got if ".running_" in key)
    if name == "sac":
        assert torch.equal(model.log_ent_coef, teacher.log_ent_coef)  # type: ignore[attr-defined]
    model.learn(80)
    assert any(float(tensor.sum()) != 0.0 for key, tensor in model.policy.state_dict().items() if ".running_" in key)


def test_ranges_that_were_learned_are_taken_over(tmp_path: Path) -> None:
    teacher = trained("td3")
    teacher.save(tmp_path / "agent.zip")
    model = untrained("td3", QatConfig())
    load_networks(model, tmp_path / "agent.zip")
    expected = teacher.policy.state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in model.policy.state_dict().items())


def test_another_network_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    untrained("dqn", net_arch=(8,)).save(tmp_path / "agent.zip")
    model = untrained("dqn")
    before = {key: tensor.clone() for key, tensor in model.policy.state_dict().items()}
    with pytest.raises(TrainingInputError, match="net_arch"):
        load_networks(model, tmp_path / "agent.zip")
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.policy.state_dict().items())


def test_a_stripped_agent_lacks_what_learns(tmp_path: Path) -> None:
    path = tmp_path / "agent.zip"
    untrained("sac").save(path)
    path.write_bytes(strip(path.read_bytes(), ALGORITHMS["sac"]))
    with pytest.raises(TrainingInputError, match="critic"):
        load_networks(untrained("sac"), path)


def test_a_damaged_file_is_an_error_of_the_reader(tmp_path: Path) -> None:
    (tmp_path / "agent.zip").write_bytes(b"PK nothing")
    with pytest.raises(DamagedAgentError):
        load_networks(untrained("dqn"), tmp_path / "agent.zip")
