"""A study in MLflow: one run for each cell, whatever is exported how often."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from policypress.study import mlflow_runs
from policypress.study.flat_results import FlatResult
from policypress.study.mlflow_runs import KEY_TAG, log_runs
from policypress_runtime.errors import ExecutionError, MissingDependencyError

RESULTS = (
    FlatResult(
        "a" * 64,
        "variant",
        "done",
        "2026-01-01T00:00:00",
        "equalize > int8",
        label="fp32",
        algorithm="sac",
        environment="HalfCheetah-v4",
        trained="plain",
        training_seed=2,
        training_steps=1000,
        runtime="native",
        episodes=30,
        return_mean=9.5,
    ),
    FlatResult("b" * 64, "variant", "failed", "2026-01-01T00:00:01", "ptsq", error="It does not work."),
)


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    # MLflow asks for this before it keeps runs in files, which needs no server.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return (tmp_path / "runs").as_uri()


def runs(uri: str, experiment: str = "small") -> dict[str, Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    assert len({run.data.tags[KEY_TAG] for run in found}) == len(found)
    return {run.data.tags[KEY_TAG][0]: run for run in found}


def test_words_are_parameters_and_numbers_metrics(uri: str) -> None:
    assert log_runs(RESULTS, "small", uri) == (2, 0)
    found = runs(uri)
    done, failed = found["a"], found["b"]
    assert done.info.status == "FINISHED"
    assert done.info.run_name == "variant sac HalfCheetah-v4 s2 equalize > int8 native"
    assert done.data.params["recipe"] == "equalize > int8"
    assert done.data.params["training_seed"] == "2"
    assert done.data.metrics == {"episodes": 30.0, "return_mean": 9.5}
    assert (failed.info.status, failed.data.tags["policypress.error"]) == ("FAILED", "It does not work.")


def test_a_second_export_adds_what_is_new_and_replaces_what_changed(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log_runs(RESULTS[:1], "small", uri)
    assert log_runs(RESULTS, "small", uri) == (1, 1)
    mended = replace(RESULTS[1], status="done", error=None, updated_at="2026-01-02T00:00:00", return_mean=1.0)
    assert log_runs((RESULTS[0], mended), "small", uri) == (1, 1)
    assert runs(uri)["b"].data.metrics == {"return_mean": 1.0}
    monkeypatch.setattr(mlflow_runs, "_PAGE", 1)
    assert log_runs((RESULTS[0], mended), "small", uri) == (0, 2)


def test_a_run_that_was_interrupted_is_made_again(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", stop)
        with pytest.raises(KeyboardInterrupt):
            log_runs(RESULTS, "small", uri)
    assert log_runs(RESULTS, "small", uri) == (2, 0)
    assert runs(uri)["a"].info.status == "FINISHED"


@pytest.mark.parametrize("where", ["http://127.0.0.1:1", "nonsense://x"])
def test_what_cannot_be_reached_is_said_so(where: str, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ExecutionError, match="could not be exported to MLflow"):
        log_runs(RESULTS, "small", where)


def test_without_mlflow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(MissingDependencyError, match=r"policypress\[mlflow\]"):
        log_runs(RESULTS, "small", "http://127.0.0.1:1")
