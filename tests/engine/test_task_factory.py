"""The shared observations and the tasks of one agent's cells."""

from __future__ import annotations

import pickle
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policypress.compression.recipe import Recipe
from policypress.engine.cells.cell import Cell
from policypress.engine.tasks import builds as build_tasks
from policypress.engine.tasks.builds import build, play
from policypress.engine.tasks.calibration import IMAGES, VECTORS, Calibration, counts_for
from policypress.engine.tasks.factory import OneAgent, TaskFactory
from policypress.environments.observations import RecordedObservations
from policypress.environments.trust import user_environment
from policypress.measurement.agent_in_environment import AgentInEnvironment, agent_in_environment
from policypress.records import EvaluationProtocol
from policypress_runtime.contract import DictSpace, EnvironmentSpec, WrapperSpec, box
from policypress_runtime.errors import (
    ExecutionError,
    NativeBuildError,
    NoNativeFormError,
    ObservationError,
    ParityError,
)
from policypress_runtime.toolchain.compiler import find_compiler

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def subject(own_agents: Path) -> AgentInEnvironment:
    """The repository's CartPole agent."""
    return agent_in_environment(own_agents / "dqn-CartPole-v1.zip")


def factory_of(subject: AgentInEnvironment, seed: int, recorded: RecordedObservations | None = None) -> TaskFactory:
    return TaskFactory(OneAgent(Calibration(subject, seed, recorded), "a" * 64))


def test_materials_are_reproducible_and_apart(subject: AgentInEnvironment) -> None:
    first, second = Calibration(subject, 3).materials, Calibration(subject, 3).materials
    assert np.array_equal(first.calibration, second.calibration)
    assert np.array_equal(first.parity, second.parity)
    assert len(first.calibration) == VECTORS.calibration
    assert len(first.parity) == VECTORS.parity_visited + VECTORS.parity_extreme
    other = Calibration(subject, 4).materials
    assert not np.array_equal(first.calibration, other.calibration)
    shared = {row.tobytes() for row in first.calibration} & {row.tobytes() for row in first.held_out}
    assert not shared


def test_images_need_fewer_observations() -> None:
    image = box((84, 84, 4), "uint8", 0, 255)
    assert counts_for(image) == IMAGES
    assert counts_for(DictSpace((("camera", image), ("speed", box((3,), "float32", -1, 1))))) == IMAGES
    assert counts_for(box((3,), "float32", -1, 1)) == VECTORS


def test_recorded_observations_are_divided(subject: AgentInEnvironment) -> None:
    batch = np.random.default_rng(0).normal(0, 0.1, (100, 4)).astype(np.float32)
    recorded = RecordedObservations(batch, subject.policy.observation_space)
    materials = Calibration(subject, 0, recorded).materials
    assert len(materials.calibration) + len(materials.held_out) == 100
    with pytest.raises(ExecutionError, match="environment"):
        factory_of(AgentInEnvironment(subject.policy, "nowhere"), 0).episodes(_cell("random", "none"), None, (1,))


def test_tasks_build_and_play_what_the_cell_says(subject: AgentInEnvironment) -> None:
    worker = factory_of(subject, 0)
    cell = _cell("variant", "prune(l2, 0.5)")
    task = worker.build(cell)
    assert task is not None
    built = build(task.payload)
    assert built.record.recipe == "prune(l2, 0.5)"
    assert built.record.channel_ratio == pytest.approx(0.5, abs=0.01)
    assert set(built.files) == {built.record.path, built.record.path + ".json"}
    played = play(worker.episodes(cell, built, (5, 6)).payload)
    assert [episode.seed for episode in played] == [5, 6]
    again = play(worker.episodes(cell, built, (6,)).payload)
    assert again[0].episode_return == played[1].episode_return
    random = play(worker.episodes(_cell("random", "none"), None, (5,)).payload)
    assert random[0].episode_return < 200
    assert worker.build(_cell("random", "none")) is None


def test_only_recipes_that_learn_are_given_more_to_learn_from(subject: AgentInEnvironment) -> None:
    worker = factory_of(subject, 0)
    plain = worker.build(_cell("variant", "prune(l2, 0.5)"))
    learning = worker.build(_cell("variant", "distill(dagger, w=8, a=8, hidden=[8], steps=24, states=60, rounds=1)"))
    assert plain is not None
    assert learning is not None
    assert plain.payload.materials.rollouts is None
    assert learning.payload.materials.rollouts is not None
    # What another process builds from what was sent to it is the same, byte for byte.
    sent = pickle.loads(pickle.dumps(learning.payload))
    assert build(sent).files == build(learning.payload).files


def test_recorded_observations_are_learned_from(subject: AgentInEnvironment) -> None:
    batch = np.random.default_rng(0).normal(0, 0.1, (3000, 4)).astype(np.float32)
    recorded = RecordedObservations(batch, subject.policy.observation_space)
    worker, materials = factory_of(subject, 0, recorded), Calibration(subject, 0, recorded).materials
    assert materials.rollouts is None
    assert len(materials.recorded) + len(materials.held_out) == 3000  # type: ignore[arg-type]
    assert len(materials.calibration) == VECTORS.calibration
    cloning = worker.build(_cell("variant", "distill(cloning, w=8, a=8, hidden=[8], steps=24, rounds=1)"))
    dagger = worker.build(_cell("variant", "distill(dagger, w=8, a=8, hidden=[8])"))
    plain = worker.build(_cell("variant", "prune(l2, 0.5)"))
    assert cloning is not None
    assert dagger is not None
    assert plain is not None
    assert build(cloning.payload).record.parameters == 4 * 8 + 8 + 8 * 2 + 2
    assert plain.payload.materials.recorded is None
    with pytest.raises(ObservationError, match="runs the student in an environment, and there is none"):
        build(dagger.payload)


def test_building_twice_gives_the_same_bytes(subject: AgentInEnvironment) -> None:
    worker = factory_of(subject, 0)
    for recipe in ("none", "equalize > int8", "ptdq", "ptsq"):
        task = worker.build(_cell("variant" if recipe != "none" else "baseline", recipe))
        assert task is not None
        first, second = build(task.payload), build(task.payload)
        assert first.files == second.files, recipe


@pytest.fixture
def _native(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own; skipped where nothing can be built."""
    try:
        find_compiler()
    except NativeBuildError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.usefixtures("_native")
def test_the_native_form_is_proved_and_then_plays(subject: AgentInEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = factory_of(subject, 0)
    cell = replace(_cell("variant", "equalize > int8"), protocol=EvaluationProtocol(2, runtime="native"))
    task = worker.build(cell)
    assert task is not None
    proved: list[str] = []
    monkeypatch.setattr(build_tasks, "check_runtime", lambda *given: proved.append(given[2].name))
    built = build(task.payload)
    assert (built.record.runtime, proved) == ("native", ["native"])
    payload = worker.episodes(cell, built, (5, 6)).payload
    assert payload.runtime == "native"
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: pytest.fail("something is built again"))
    played = play(payload)
    reference = play(replace(payload, runtime="onnxruntime"))
    assert [e.episode_return for e in played] == pytest.approx([e.episode_return for e in reference], rel=0.3)
    # What was built to be played otherwise is not played natively.
    assert (
        worker.episodes(cell, replace(built, record=replace(built.record, runtime="onnxruntime")), (5,)).payload.runtime
        == "onnxruntime"
    )
    assert worker.episodes(_cell("variant", "equalize > int8"), built, (5,)).payload.runtime == "onnxruntime"


@pytest.mark.usefixtures("_native")
def test_a_native_form_that_does_something_else_stops_the_cell(
    subject: AgentInEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = factory_of(subject, 0).build(
        replace(_cell("baseline", "none"), protocol=EvaluationProtocol(2, runtime="native"))
    )
    assert task is not None
    real = build_tasks.load_model

    class Wrong:
        def __init__(self, model: bytes, runtime: str) -> None:
            self._right = real(model, runtime)
            self.contract = self._right.contract

        def run_batch(self, observations: object) -> dict[str, np.ndarray]:
            results = self._right.run_batch(observations)
            return {**results, "scores": results["scores"] + 0.01}

    monkeypatch.setattr(build_tasks, "load_model", Wrong)
    with pytest.raises(ParityError):
        build(task.payload)


@pytest.mark.usefixtures("_native")
def test_an_artifact_without_a_native_form_plays_under_onnx_runtime(
    subject: AgentInEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(model: bytes, runtime: str) -> None:
        raise NoNativeFormError("There is no native form of this artifact.", got="Acosh")

    task = factory_of(subject, 0).build(
        replace(_cell("baseline", "none"), protocol=EvaluationProtocol(2, runtime="native"))
    )
    assert task is not None
    monkeypatch.setattr(build_tasks, "load_model", refused)
    built = build(task.payload)
    assert built.record.runtime == "onnxruntime"
    assert "Acosh" in built.record.notices[-1]


def _cell(kind: str, recipe: str) -> Cell:
    parsed = Recipe.parse(recipe)
    return Cell(
        kind,  # type: ignore[arg-type]
        EvaluationProtocol(2),
        subject_environment(),
        None if kind == "random" else "a" * 64,
        parsed.text,
        parsed.hash,
        parsed.to_json(),
    )


def subject_environment() -> EnvironmentSpec:
    """That of the repository's CartPole agent."""
    environment = agent_in_environment(ROOT / "examples" / "agents" / "dqn-CartPole-v1.zip").environment
    assert environment is not None
    return environment


def test_cells_of_one_agent_share_their_artifact_whatever_plays_it_and_under_whatever_disturbance(
    subject: AgentInEnvironment,
) -> None:
    tasks = factory_of(subject, 0)
    cell = _cell("variant", "ptdq")
    noisy = replace(subject_environment(), wrappers=(WrapperSpec("ActionDelay", (("steps", 1),)),))
    alike = [
        replace(cell, protocol=EvaluationProtocol(7, runtime="native")),
        replace(cell, protocol=EvaluationProtocol(2, purpose="search/race/1")),
        replace(cell, environment=noisy),
        replace(cell, environment=user_environment("CartPole-v1")),
    ]
    key = tasks.build_key(cell)
    assert key is not None
    assert {tasks.build_key(other) for other in alike} == {key}
    others = [
        _cell("variant", "ptsq"),
        replace(cell, inputs={"seed": 1}),
        replace(cell, method_versions={"ptdq": 99}),
    ]
    assert key not in {tasks.build_key(other) for other in others}
    strangers = [replace(cell, agent_sha256="b" * 64), replace(cell, environment=EnvironmentSpec("Acrobot-v1"))]
    assert {tasks.build_key(other) for other in (*strangers, _cell("random", "none"))} == {None}


def test_a_disturbed_cell_plays_inside_the_wrappers(subject: AgentInEnvironment) -> None:
    cell, wrapper = _cell("baseline", "none"), WrapperSpec("ActionDelay", (("steps", 1),))
    tasks = factory_of(subject, 0)
    noisy = replace(cell, environment=replace(subject_environment(), wrappers=(wrapper,)))
    task = tasks.build(cell)
    assert task is not None
    built = build(task.payload)
    assert tasks.episodes(cell, built, (1,)).payload.factory is subject.factory
    assert tasks.episodes(noisy, built, (1,)).payload.factory != subject.factory
