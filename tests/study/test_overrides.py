"""Changes to a study file from the command line: made where they say, to nothing else, checked like the file."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from policypress.study.overrides import overridden
from policypress.study.spec import read_spec
from policypress.study.whole_study import open_study
from policypress_runtime.errors import StudyInputError, UnknownEnvironmentError

STUDIES = Path(__file__).resolve().parents[2] / "papers" / "lu2024" / "studies"
SMALL = """
policypress-study: 1
name: small
agents:
  - train: &these {algorithms: ppo, environments: [Hopper-v4, Ant-v4], steps: 1000}
  - train: {<<: *these, qat: true}
  - {files: a.zip, environment: CartPole-v1}
evaluation: {episodes: 7}
"""


@pytest.fixture
def data() -> Any:
    return yaml.safe_load(SMALL)


def test_a_version_is_put_into_every_environment_and_the_name(data: Any) -> None:
    before = deepcopy(data)
    found = overridden(data, ["environments=v5"])
    assert data == before
    assert found["name"] == "small-v5"
    assert [axis["train"]["environments"] for axis in found["agents"][:2]] == [["Hopper-v5", "Ant-v5"]] * 2
    assert found["agents"][2]["environment"] == "CartPole-v5"
    assert found["evaluation"] == before["evaluation"]


def test_the_name_may_be_chosen_afterwards(data: Any) -> None:
    assert overridden(data, ["environments=v5", "name=mine"])["name"] == "mine"


def test_a_path_leads_to_one_field_or_to_all(data: Any) -> None:
    one = overridden(data, ["agents.1.train.steps=10"])
    assert [axis["train"]["steps"] for axis in one["agents"][:2]] == [1000, 10]
    every = overridden(data, ["agents.*.train.steps={ppo: 5}", "evaluation.runtimes=[native]", "costs=true"])
    assert [axis["train"]["steps"] for axis in every["agents"][:2]] == [{"ppo": 5}] * 2
    assert (every["evaluation"], every["costs"]) == ({"episodes": 7, "runtimes": ["native"]}, True)
    assert overridden(data, ["agents.0.train.environments.1=Humanoid-v4"])["agents"][0]["train"]["environments"] == [
        "Hopper-v4",
        "Humanoid-v4",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "evaluation",
        "=3",
        "environments=5",
        "environments=",
        "evaluation.protocol.episodes=3",
        "agents.7.train.steps=3",
        "agents.x.train.steps=3",
        "agents.0.train.environments.9=Ant-v4",
        "evaluation.episodes=[",
        "evaluation.=3",
    ],
)
def test_what_changes_nothing_is_refused(data: Any, text: str) -> None:
    with pytest.raises(StudyInputError, match="does not change"):
        overridden(data, [text])


@pytest.mark.parametrize("data", [None, "text", [], {"name": "x"}, {"agents": None}, {"agents": [3]}])
@pytest.mark.parametrize("text", ["environments=v5", "evaluation.episodes=3"])
def test_what_is_no_study_is_refused(data: Any, text: str) -> None:
    with pytest.raises(StudyInputError):
        overridden(data, [text])


def test_a_file_that_contains_itself_is_refused() -> None:
    data = yaml.safe_load("&a {name: x, agents: [*a]}")
    with pytest.raises(StudyInputError, match="reference to itself"):
        overridden(data, ["name=y"])


@given(st.integers(1, 10_000), st.text("abcxyz", min_size=1))
def test_a_value_that_was_set_is_there_and_the_rest_stays(number: int, name: str) -> None:
    found = overridden({"evaluation": {"episodes": 1, "seed": 4}, "name": name}, [f"evaluation.episodes={number}"])
    assert found == {"evaluation": {"episodes": number, "seed": 4}, "name": name}


def test_a_study_is_read_with_changes_and_what_they_say_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "small.yml"
    path.write_text(SMALL)
    assert read_spec(path, ["evaluation.episodes=3"]).evaluation.episodes == 3
    with pytest.raises(StudyInputError, match=r"evaluation\.episodes"):
        read_spec(path, ["evaluation.episodes=0"])
    with pytest.raises(StudyInputError, match="surprise"):
        read_spec(path, ["surprise=0"])


def test_the_study_of_lu_et_al_has_its_grid_in_version_5_too() -> None:
    small = open_study(STUDIES / "lu2024-small.yml")
    newer = open_study(STUDIES / "lu2024-small.yml", overrides=["environments=v5"])
    assert newer.folder.name == "lu2024-small-v5"
    assert {agent.environment.id for agent in newer.plan.agents.values()} == {
        agent.environment.id.replace("-v4", "-v5") for agent in small.plan.agents.values()
    }
    assert len(newer.plan.cells) == len(small.plan.cells)
    assert not {cell.key for cell in newer.plan.cells} & {cell.key for cell in small.plan.cells}
    with pytest.raises(UnknownEnvironmentError):
        open_study(STUDIES / "lu2024-small.yml", overrides=["environments=v99"])
