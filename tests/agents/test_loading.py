"""The one door: every kind of source reads, and whatever is wrong with it is an agent's error."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from policypress.agents.bundle import Activation, OnnxNetwork, Sb3Network
from policypress.agents.loading import load_agent
from policypress.agents.overrides import Overrides
from policypress_runtime.errors import AgentError


def onnx_content() -> bytes:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["obs", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["b", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 1])],
        [numpy_helper.from_array(np.ones((2, 1), np.float32), "w")],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def test_zip_folder_and_onnx(build: Any, tmp_path: Path) -> None:
    saved = build("DQN", "MlpPolicy", "vector", "discrete", name="dqn-My-v1.zip")
    assert load_agent(str(saved.path)).algorithm == "dqn"
    assert load_agent(saved.path).algorithm == "dqn"
    folder = tmp_path / "dqn-My-v1"
    folder.mkdir()
    bare = shutil.copy(saved.path, folder / "agent")
    assert load_agent(bare).algorithm == "dqn"
    (folder / "agent").rename(folder / "agent.zip")
    assert load_agent(folder).algorithm == "dqn"
    network = tmp_path / "network"
    network.mkdir()
    (network / "policy.onnx").write_bytes(onnx_content())
    for source in (network, network / "policy.onnx"):
        assert isinstance(load_agent(source).network, OnnxNetwork)


def test_overrides_reach_the_reader(build: Any) -> None:
    saved = build("DQN", "MlpPolicy", "vector", "discrete")
    network = load_agent(saved.path, overrides=Overrides(activation=Activation("elu"))).network
    assert isinstance(network, Sb3Network)
    assert network.activation == Activation("elu")


def test_missing_path_suggests_what_is_near(tmp_path: Path) -> None:
    (tmp_path / "hopper.zip").write_bytes(b"")
    with pytest.raises(AgentError) as caught:
        load_agent(tmp_path / "hoper.zip")
    assert caught.value.hint == f"Did you mean {tmp_path / 'hopper.zip'}?"
    with pytest.raises(AgentError, match="no folder"):
        load_agent(tmp_path / "absent" / "x.zip")


def test_only_what_may_be_an_agent_is_suggested_as_it_is_typed(tmp_path: Path) -> None:
    """With its folder, quoted for a shell; never a file or folder that cannot be one."""
    folder = tmp_path / "my agents"
    for below in (".zi", "a"):
        (folder / below).mkdir(parents=True)
    for name in ("a.json", "a.zip2", "b.zip"):
        (folder / name).write_bytes(b"")
    with pytest.raises(AgentError) as caught:
        load_agent(folder / "a.zip")
    hint = caught.value.hint
    assert hint is not None
    assert shlex.split(hint.removeprefix("Did you mean ").removesuffix("?")) == [str(folder / "b.zip")]


def test_a_folder_of_experiments_names_them(build: Any, tmp_path: Path) -> None:
    saved = build("DQN", "MlpPolicy", "vector", "discrete")
    runs = tmp_path / "runs"
    for name in ("dqn 1", "dqn 2"):
        (runs / name).mkdir(parents=True)
        shutil.copy(saved.path, runs / name / "model.zip")
    (runs / "logs").mkdir()
    with pytest.raises(AgentError, match="holds") as caught:
        load_agent(runs)
    hint = caught.value.hint
    assert hint is not None
    named = shlex.split(hint.removeprefix("Give the one you mean: ").removesuffix(".").replace(",", ""))
    assert len(named) == 2
    for source in named:
        assert load_agent(source).algorithm == load_agent(saved.path).algorithm
    (runs / "empty").mkdir()
    with pytest.raises(AgentError, match="holds no agent") as caught:
        load_agent(runs / "empty")
    assert caught.value.hint is None


@pytest.mark.parametrize("source", ["\0", "x" * 5000])
def test_paths_that_are_none(source: str) -> None:
    with pytest.raises(AgentError):
        load_agent(source)


def test_other_kinds_of_file_list_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.pt"
    path.write_bytes(b"\x80\x02.")
    with pytest.raises(AgentError, match=r"policy\.pt is a pickle[\s\S]*from_module"):
        load_agent(path)


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="no agent"):
        load_agent(tmp_path)


def test_a_zip_that_is_a_folder_of_agents(build: Any, tmp_path: Path) -> None:
    """Zipped experiment folders have the agent one level deeper; the message lists what is there."""
    saved = build("DQN", "MlpPolicy", "vector", "discrete", name="inner.zip")
    folder = tmp_path / "experiment"
    folder.mkdir()
    saved.path.rename(folder / "inner.zip")
    outer = shutil.make_archive(str(tmp_path / "outer"), "zip", folder)
    with pytest.raises(AgentError, match=r"zip of other files[\s\S]*Unpack it and give 'inner\.zip'"):
        load_agent(outer)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_damaged_zips_are_agent_errors_and_never_another(own_agents: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray((own_agents / "dqn-CartPole-v1.zip").read_bytes())
    path = tmp_path / "damaged.zip"
    if data.draw(st.booleans()):
        path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        with pytest.raises(AgentError):
            load_agent(path)
        return
    # Half of the flips go to the directory at the end, where the structure is.
    last = len(content) - 1
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, last) | st.integers(last - 400, last))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        bundle = load_agent(path)
    except AgentError:
        return
    assert isinstance(bundle.network, Sb3Network)


def test_nothing_of_stable_baselines_is_imported(own_agents: Path) -> None:
    code = (
        "import sys; from policypress.agents.loading import load_agent; "
        f"load_agent({str(own_agents / 'dqn-CartPole-v1.zip')!r}); "
        "heavy = ('stable_baselines3', 'sb3_contrib', 'gym', 'cloudpickle'); "
        "sys.exit(any(name.startswith(heavy) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.shared
def test_every_shared_agent_by_folder_and_by_zip(shared_agents: Path) -> None:
    for path in sorted(shared_agents.glob("*/*.zip")):
        by_zip, by_folder = load_agent(path), load_agent(path.parent)
        assert by_zip.provenance == by_folder.provenance
        assert by_zip.environment == by_folder.environment
        assert set(by_zip.normaliser) == set(by_folder.normaliser)
