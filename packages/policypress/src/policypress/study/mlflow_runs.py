"""A study's results as runs of an MLflow experiment: one for each cell that has ended."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from policypress.study.flat_results import FlatResult
from policypress_runtime.errors import ExecutionError, MissingDependencyError

KEY_TAG, UPDATED_TAG = "policypress.cell_key", "policypress.updated_at"
_NOT_PARAMETERS = ("cell_key", "updated_at", "error", "status")
_PAGE = 1000
# A server that does not answer is given some seconds; nothing is told to anybody else.
_SETTINGS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_DISABLE_TELEMETRY": "true"}


def log_runs(results: Iterable[FlatResult], experiment: str, uri: str) -> tuple[int, int]:
    """Bring ``results`` to the tracking server, or folder, ``uri``.

    Words of a result become parameters of its run, numbers metrics. A cell has one run, whatever is exported how often:
    a run that is up to date is left alone, one that is older, or was interrupted, is replaced.

    Args:
        results: of the cells.
        experiment: its name; made if it is not there.
        uri: as MLflow takes it.

    Returns:
        Numbers of runs that were made, and that were there already.

    Raises:
        MissingDependencyError: MLflow is not installed.
        ExecutionError: it cannot be reached, or refuses.
    """
    with _explained(uri):
        client = _client(uri)
        found = client.get_experiment_by_name(experiment)
        identity = client.create_experiment(experiment) if found is None else found.experiment_id
        known = {run.data.tags.get(KEY_TAG, ""): run for run in _runs(client, identity)}
        made = kept = 0
        for result in results:
            run = known.get(result.cell_key)
            if run is not None and _is_current(run, result):
                kept += 1
                continue
            if run is not None:
                client.delete_run(run.info.run_id)
            _log(client, identity, result)
            made += 1
    return made, kept


def _client(uri: str) -> Any:
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise MissingDependencyError(
            "Exporting to MLflow needs its client.",
            expected="the extra",
            hint='pip install "policypress[mlflow]"',
        ) from error
    return MlflowClient(tracking_uri=uri)


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turn what MLflow raises, and what it raises of the network, into ours."""
    try:
        yield
    except OSError as error:  # requests' errors are some
        raise _refused(uri, error) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "mlflow":
            raise
        raise _refused(uri, error) from error


def _refused(uri: str, error: Exception) -> ExecutionError:
    return ExecutionError(
        "The results could not be exported to MLflow.",
        got=f"{uri}: {' '.join(str(error).split())}",
        expected="the address of a tracking server, as http://localhost:5000",
        hint="Run the same command again: complete runs are kept.",
    )


def _runs(client: Any, experiment: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([experiment], max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _is_current(run: Any, result: FlatResult) -> bool:
    return run.info.status in ("FINISHED", "FAILED") and run.data.tags.get(UPDATED_TAG) == result.updated_at


def _log(client: Any, experiment: str, result: FlatResult) -> None:
    from mlflow.entities import Metric, Param

    values = {name: value for name, value in asdict(result).items() if value is not None}
    words = {name: value for name, value in values.items() if isinstance(value, str) and name not in _NOT_PARAMETERS}
    words |= {name: values[name] for name in ("training_seed", "training_steps") if name in values}
    numbers = {name: value for name, value in values.items() if not isinstance(value, str) and name not in words}
    tags = {KEY_TAG: result.cell_key, UPDATED_TAG: result.updated_at}
    if result.error is not None:
        tags["policypress.error"] = result.error
    run = client.create_run(experiment, tags=tags, run_name=_name(result))
    identity = run.info.run_id
    began_ms = run.info.start_time
    client.log_batch(
        identity,
        metrics=[Metric(name, float(value), began_ms, 0) for name, value in numbers.items()],
        params=[Param(name, str(value)) for name, value in words.items()],
    )
    client.set_terminated(identity, "FINISHED" if result.status == "done" else "FAILED")


def _name(result: FlatResult) -> str:
    seed = None if result.training_seed is None else f"s{result.training_seed}"
    parts = (result.kind, result.algorithm, result.environment, seed, result.recipe, result.runtime)
    return " ".join(part for part in parts if part)
