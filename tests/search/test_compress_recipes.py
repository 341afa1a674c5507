"""``compress`` as a library: one agent, its cells, and the same rows under every executor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from policypress import Policy, compress
from policypress.engine.events import CostsMeasured
from policypress.engine.executors.debug_executor import DebugExecutor
from policypress.engine.store.reader import SPEC_KEY, STORE_NAME, StoreReader
from policypress.engine.store.store import Store
from policypress.engine.tasks import builds as build_tasks
from policypress.engine.tasks import costs as cost_tasks
from policypress.records import Measurement
from policypress.search.compress import STAYS_HERE
from policypress.search.defaults import CLASSIC
from policypress.search.found.compressed import Compressed
from policypress.search.options import CompressOptions
from policypress.study.export_agent import export_agent
from policypress.study.whole_study import open_study, run_whole_study
from policypress_runtime.errors import ExecutionError, InputError, SpaceMismatchError, StudyInputError

CARTPOLE = "dqn-CartPole-v1.zip"


def test_the_classic_set_is_that_of_the_papers() -> None:
    assert CLASSIC[:4] == ("none", "ptdq", "ptsq", "equalize > int8")
    assert len(CLASSIC) == 12


def test_rows_are_bit_equal_under_both_executors(own_agents: Path, tmp_path: Path) -> None:
    rows: list[Any] = []
    for executor in ("debug", "local"):
        done = compress(
            own_agents / CARTPOLE,
            ["ptdq"],
            output=tmp_path / executor,
            episodes=7,
            seed=1,
            executor=executor,
            costs=False,
        )
        with StoreReader(done.store) as store:
            rows.append(
                {
                    name: [(e.seed, e.episode_return, e.length, e.ending) for e in store.episodes(key)]
                    for name, key in done.cells.items()
                }
            )
            assert all(not done.outcome.failed for _ in [0])
    assert rows[0] == rows[1]
    assert len(rows[0]["ptdq"]) == 7


def test_another_seed_and_another_recipe_are_other_cells(own_agents: Path, tmp_path: Path) -> None:
    first = compress(own_agents / CARTPOLE, ["ptdq"], output=tmp_path, episodes=1, executor="debug", costs=False)
    second = compress(
        own_agents / CARTPOLE, ["ptdq"], output=tmp_path, episodes=1, seed=1, executor="debug", costs=False
    )
    third = compress(own_agents / CARTPOLE, ["ptsq"], output=tmp_path, episodes=1, executor="debug", costs=False)
    assert first.cells["ptdq"] != second.cells["ptdq"]
    assert first.cells["none"] == third.cells["none"]
    with StoreReader(first.store) as store:
        assert len(store.cells()) == 7


def test_a_module_in_an_environment_of_ones_own(tmp_path: Path) -> None:
    env = gymnasium.make("CartPole-v1")
    module = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))
    torch.nn.init.constant_(module[0].bias, 0.1)
    policy = Policy.from_module(module, env.observation_space, env.action_space)
    done = compress(
        policy,
        ["equalize > int8", "prune(l1, 0.5)"],
        output=tmp_path,
        episodes=2,
        env_fn=lambda: gymnasium.make("CartPole-v1"),
        executor="debug",
        costs=False,
    )
    assert not done.outcome.failed
    assert sum("session.x64quantprecision=1" in notice for notice in done.notices) == 1
    with StoreReader(done.store) as store:
        artifact = store.artifact(done.cells["prune(l1, 0.5)"])
        assert artifact is not None
        assert artifact.channel_ratio == 0.5
        assert len(store.episodes(done.cells["equalize > int8"])) == 2


def test_an_environment_that_does_not_fit_is_refused(own_agents: Path, tmp_path: Path) -> None:
    with pytest.raises(SpaceMismatchError, match="does not fit"):
        compress(own_agents / CARTPOLE, ["ptdq"], output=tmp_path, env_fn=lambda: gymnasium.make("Acrobot-v1"))
    with pytest.raises(StudyInputError, match="episodes"):
        compress(own_agents / CARTPOLE, ["ptdq"], output=tmp_path, episodes=0)
    with pytest.raises(InputError):
        compress(own_agents / "nothing.zip", output=tmp_path)
    assert not list(tmp_path.rglob("*.onnx"))


def test_observations_alone_give_an_action_error_and_no_return(own_agents: Path, tmp_path: Path) -> None:
    logged = tmp_path / "logged.npz"
    np.savez(logged, observations=np.random.default_rng(0).normal(0, 0.1, (200, 4)).astype(np.float32))
    done = compress(
        own_agents / CARTPOLE, ["int8"], output=tmp_path, observations=logged, executor="debug", costs=False
    )
    assert list(done.cells) == ["none", "int8"]
    with StoreReader(done.store) as store:
        artifact = store.artifact(done.cells["int8"])
        assert artifact is not None
        assert artifact.action_error is not None
        assert store.episodes(done.cells["int8"]) == ()


def test_costs_are_measured_once_after_the_returns(own_agents: Path, tmp_path: Path) -> None:
    events: list[object] = []

    def run() -> dict[str, list[Measurement]]:
        done = compress(
            own_agents / CARTPOLE, ["ptdq"], output=tmp_path, episodes=2, executor="debug", on_event=events.append
        )
        assert not done.outcome.interrupted
        with StoreReader(done.store) as store:
            return {
                name: list(store.costs_of(row.cell)) for name, key in done.cells.items() if (row := store.cell(key))
            }

    first = run()
    assert any(isinstance(event, CostsMeasured) for event in events)
    assert first["random"] == []
    assert [row.quantity for row in first["ptdq"]] == [
        "latency",
        "latency",
        "peak_rss",
        "cpu_per_action",
        "energy_per_action",
        "cpu_per_episode",
        "energy_per_episode",
    ]
    warm, _, memory, cpu = first["ptdq"][:4]
    assert (len(warm.samples), len(memory.samples), len(cpu.samples)) == (5000, 3, 5)
    assert first["none"][4].protocol["runtime"] == "onnxruntime"
    events.clear()
    assert run() == first
    assert not any(isinstance(event, CostsMeasured) for event in events)


def test_interrupted_or_failing_costs_leave_the_returns(
    own_agents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(error: BaseException) -> Compressed:
        def fail(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr(cost_tasks, "measure_costs", fail)
        return compress(own_agents / CARTPOLE, [], output=tmp_path, episodes=1, executor="debug")

    stopped = run(KeyboardInterrupt())
    assert stopped.outcome.interrupted
    assert len(stopped.outcome.done) == 2
    failed = run(ExecutionError("The process failed."))
    assert not failed.outcome.interrupted
    assert "The costs were not measured. The process failed." in failed.notices
    with pytest.raises(StudyInputError, match="busy core"):
        compress(own_agents / CARTPOLE, [], output=tmp_path, watts_per_core=0.0)


def test_export_without_environment_or_observations_is_fp32_only(tmp_path: Path) -> None:
    space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    policy = Policy.from_module(nn.Linear(3, 2), space, gymnasium.spaces.Box(-1, 1, (2,), np.float32))
    exported = export_agent(policy, tmp_path / "a.onnx")
    assert exported.parity.share_within == 1.0
    assert (tmp_path / "a.onnx").is_file()
    with pytest.raises(InputError, match="calibrated"):
        export_agent(policy, tmp_path / "b.onnx", "int8")
    assert not (tmp_path / "b.onnx").exists()


def test_an_env_fn_that_cannot_travel_runs_here_and_says_so(own_agents: Path, tmp_path: Path) -> None:
    done = compress(
        own_agents / CARTPOLE,
        ["ptdq"],
        output=tmp_path,
        episodes=1,
        env_fn=lambda: gymnasium.make("CartPole-v1"),
        costs=False,
    )
    assert not done.outcome.failed
    assert STAYS_HERE in done.notices


def compressed(agent: object, folder: Path, **options: Any) -> Compressed:
    return compress(
        agent, ["ptdq"], output=folder, episodes=1, env="CartPole-v1", executor="debug", costs=False, **options
    )


def small_policy(seed: int) -> Policy:
    env = gymnasium.make("CartPole-v1")
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    return Policy.from_module(module, env.observation_space, env.action_space)


@pytest.mark.parametrize("recipes", [["ptdq"], None])
def test_the_folder_of_another_agent_is_refused_and_the_same_agent_continues(
    recipes: list[str] | None, tmp_path: Path
) -> None:
    first = compressed(small_policy(1), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"}
    with pytest.raises(StudyInputError, match=r"another agent[\s\S]*Choose another folder with -o"):
        compress(small_policy(2), recipes, output=tmp_path, env="CartPole-v1", executor="debug", costs=False)
    assert {path: path.read_bytes() for path in before} == before
    assert compressed(small_policy(1), tmp_path).cells == first.cells
    assert compressed(small_policy(2), tmp_path / "another").cells != first.cells  # as the message advises


def test_the_folder_of_a_study_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path / STORE_NAME) as store:
        store.set_note(SPEC_KEY, "lu2024")
    with pytest.raises(StudyInputError, match=r"holds a study[\s\S]*lu2024"):
        compressed(small_policy(1), tmp_path)


def test_one_object_holds_every_option_and_keywords_change_it(own_agents: Path, tmp_path: Path) -> None:
    options = CompressOptions(recipes=("ptdq",), episodes=1, executor="debug", costs=False)
    first = compress(own_agents / CARTPOLE, output=tmp_path / "a", options=options)
    assert list(first.cells) == ["random", "none", "ptdq"]
    second = compress(own_agents / CARTPOLE, ["ptsq"], output=tmp_path / "b", options=options, seed=3)
    assert list(second.cells) == ["random", "none", "ptsq"]
    assert first.cells["none"] != second.cells["none"]
    with pytest.raises(TypeError, match="episode"):
        compress(own_agents / CARTPOLE, ["ptsq"], output=tmp_path / "c", episode=3)


def test_the_same_artifact_under_another_runtime_or_on_more_episodes_is_not_built_again(
    own_agents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(episodes: int) -> Compressed:
        return compress(
            own_agents / CARTPOLE, ["ptdq"], output=tmp_path, episodes=episodes, executor="debug", costs=False
        )

    first = run(1)
    monkeypatch.setattr(build_tasks, "build_artifact", lambda *_, **__: pytest.fail("it is built again"))
    second = run(2)
    with StoreReader(first.store) as store:
        one, two = store.artifact(first.cells["ptdq"]), store.artifact(second.cells["ptdq"])
        assert one is not None
        assert two is not None
        assert (one.sha256, one.build_s) == (two.sha256, two.build_s)
        again = {row.seed: row.episode_return for row in store.episodes(second.cells["ptdq"])}
        assert {row.seed: row.episode_return for row in store.episodes(first.cells["ptdq"])}.items() <= again.items()


def test_into_the_folder_of_a_study_that_has_the_agent_it_finds_what_the_study_did(
    own_agents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "s.yml"
    file.write_text(
        "policypress-study: 1\nname: s\n"
        f"agents: [{{files: [{own_agents / CARTPOLE}]}}]\nrecipes: [ptdq]\n"
        "evaluation: {episodes: 2, runtimes: onnxruntime}\n"
    )
    study = open_study(file)
    assert not run_whole_study(study, DebugExecutor()).failed
    monkeypatch.setattr(build_tasks, "build_artifact", lambda *_, **__: pytest.fail("it is built again"))
    monkeypatch.setattr(build_tasks, "measure_returns", lambda *_, **__: pytest.fail("it is played again"))
    done = compress(
        own_agents / CARTPOLE,
        ["ptdq"],
        output=study.folder,
        episodes=2,
        runtime="onnxruntime",
        executor="debug",
        costs=False,
    )
    assert {done.cells["random"], done.cells["none"], done.cells["ptdq"]} <= {cell.key for cell in study.plan.cells}
    with pytest.raises(StudyInputError, match=r"this agent is not in it[\s\S]*Choose another folder with -o"):
        compress(small_policy(1), ["ptdq"], output=study.folder, env="CartPole-v1", executor="debug", costs=False)
