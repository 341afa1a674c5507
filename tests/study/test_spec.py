"""Study files: what stands in them is what comes out, and every mistake is named with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from policypress.study.spec import read_spec, spec_of
from policypress_runtime.errors import StudyInputError

SMALL = """
policypress-study: 1
name: small
agents:
  - label: fp32
    train: {algorithms: [ppo, trpo], environments: CartPole-v1, steps: {ppo: 1000, trpo: 2000}, seeds: 0..2}
  - label: qat
    train: {algorithms: ppo, environments: CartPole-v1, seeds: [3, 5..6], qat: true}
    recipes: ptdq
  - files: agents/*.zip
recipes: [none, equalize>int8, "prune(l2, 0.1..0.3/0.1)"]
evaluation: {episodes: 7, runtimes: [onnxruntime, native]}
"""


def _data(**changes: Any) -> dict[str, Any]:
    return {"policypress-study": 1, "name": "x", "agents": [{"files": "a.zip"}], **changes}


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "study.yml"
    path.write_text(SMALL)
    spec = read_spec(path)
    assert spec.recipes == ["none", "equalize > int8", "prune(l2, 0.1)", "prune(l2, 0.2)", "prune(l2, 0.3)"]
    first, second, third = spec.agents
    assert first.train is not None
    assert second.train is not None
    assert (first.train.seeds, second.train.seeds) == ([0, 1, 2], [3, 5, 6])
    assert (first.train.steps_of("ppo"), first.train.steps_of("trpo"), second.train.steps_of("ppo")) == (
        1000,
        2000,
        None,
    )
    assert second.train.qat is not None
    assert second.train.qat.weight_bits == 8
    assert first.train.qat is None
    assert (second.recipes, third.files) == (["ptdq"], ["agents/*.zip"])
    assert spec.evaluation.runtimes == ["onnxruntime", "native"]


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (_data(name="two words"), "name"),
        (_data(agents=[]), "agents"),
        (_data(agents=[{"files": "a", "train": {"algorithms": "ppo", "environments": "X"}}]), "either train or files"),
        (_data(agents=[{}]), "either train or files"),
        (_data(agents=[{"train": {"algorithms": [], "environments": "X"}}]), "agents.0.train.algorithms"),
        (_data(agents=[{"train": {"algorithms": "a", "environments": "X", "seeds": "3..1"}}]), "agents.0.train.seeds"),
        (_data(agents=[{"train": {"algorithms": "a", "environments": "X", "seeds": True}}]), "agents.0.train.seeds"),
        (_data(recipes=["prun(l1, 0.1)"]), "prun"),
        (_data(recipes=[3]), "recipes"),
        (_data(recipes=["int8 > prune(l1, 0.5)"]), "recipes"),
        (_data(evaluation={"episodes": 0}), "evaluation.episodes"),
        (_data(evaluation={"runtimes": ["tpu"]}), "evaluation.runtimes"),
        (_data(surprise=1), "surprise"),
        ({**_data(), "policypress-study": 2}, "policypress-study"),
        ({"name": "x", "agents": [{"files": "a.zip"}]}, None),
        ("text", "file"),
        (None, "file"),
    ],
)
def test_mistakes_are_named_with_their_place(data: Any, place: str | None) -> None:
    if place is None:
        assert spec_of(data).version == 1
        return
    with pytest.raises(StudyInputError, match=place):
        spec_of(data)


@pytest.mark.parametrize("content", [b"a: [1", b"\xff\xfe\x00", b"!!python/object/apply:os.system ['true']"])
def test_what_is_no_yaml_is_refused_and_nothing_runs(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "study.yml"
    path.write_bytes(content)
    with pytest.raises(StudyInputError):
        read_spec(path)


def test_no_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StudyInputError, match="cannot be read"):
        read_spec(tmp_path / "none.yml")


def test_the_example_in_the_documentation_is_a_study() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "studies.md").read_text(encoding="utf-8")
    example = text.split("```yaml\n")[1].split("```")[0]
    spec = spec_of(yaml.safe_load(example))
    assert len(spec.recipes) == 1 + 2 + 14 + 14
    assert [agents.label for agents in spec.agents] == ["fp32", "qat", "paper", "sparse", "given", "robot"]
